import os
import subprocess
import sys
from pathlib import Path

import pytest

import setup_env

ROOT = Path(setup_env.__file__).parent


def put_tool(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "device"),
    [
        ("echo 'NVIDIA H200, 580.159.04, 9.0'", "cuda"),
        ("echo 'NVIDIA GeForce RTX 4090, 591.44, 8.9'; echo 'Quadro P400, 591.44, 6.1'", "cuda"),
        ("echo 'Tesla T4, 580.65.06, 7.5'", "cuda"),
        ("echo 'NVIDIA A100, 550.54.15, 8.0'", "cpu"),  # a driver from before CUDA 13
        ("echo 'Tesla V100, 580.65.06, 7.0'", "cpu"),  # a card that CUDA 13 has dropped
        ("echo 'NVIDIA Thor, 600.1, [N/A]'", "cuda"),
        ("echo 'No devices were found'", "cpu"),
        ("exit 9", "cpu"),
    ],
)
def test_a_gpu_is_seen_through_the_driver_tool(tmp_path, monkeypatch, script, device):
    put_tool(tmp_path, "nvidia-smi", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ECOLOOP_DEVICE", raising=False)
    assert setup_env.find_device() == device


def test_why_a_card_is_not_used_is_said(capsys, tmp_path, monkeypatch):
    put_tool(tmp_path, "nvidia-smi", "echo 'NVIDIA A100, 550.54.15, 8.0'")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ECOLOOP_DEVICE", raising=False)
    setup_env.find_device()
    assert "driver 550.54.15, but CUDA 13 needs 580 or newer" in capsys.readouterr().out


def test_the_device_can_be_set_and_a_wrong_one_is_named(monkeypatch):
    monkeypatch.setenv("ECOLOOP_DEVICE", "cuda")
    assert setup_env.find_device() == "cuda"
    monkeypatch.setenv("ECOLOOP_DEVICE", "tpu")
    with pytest.raises(setup_env.SetupError, match="tpu"):
        setup_env.find_device()


@pytest.mark.parametrize(
    ("capability", "fetched"), [("9.0", False), ("12.0", False), ("10.0", True)]
)
def test_only_cards_that_need_ready_kernels_fetch_them(tmp_path, monkeypatch, capability, fetched):
    put_tool(tmp_path, "nvidia-smi", f"echo 'A card, 590.1, {capability}'")
    put_tool(tmp_path, "python", f'echo "$@" > {tmp_path}/called')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(setup_env, "venv_python", lambda: tmp_path / "python")
    setup_env.fetch_kernels()
    assert (tmp_path / "called").exists() == fetched


@pytest.mark.parametrize("teller", ["get_paths", "get_config_var"])
def test_a_card_without_a_compiler_is_refused_before_anything_is_fetched(
    tmp_path, monkeypatch, teller
):
    """Where the headers are, one of two knows: which one depends on who built this Python."""
    put_tool(tmp_path, "gcc", "true")
    (tmp_path / "Python.h").touch()
    told = dict.fromkeys(["get_paths", "get_config_var"], "/usr/local/nowhere")
    told[teller] = str(tmp_path)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(setup_env.sysconfig, "get_paths", lambda: {"include": told["get_paths"]})
    monkeypatch.setattr(setup_env.sysconfig, "get_config_var", lambda _: told["get_config_var"])
    monkeypatch.setenv("PATH", str(tmp_path))
    setup_env.check_compiler()
    (tmp_path / "gcc").unlink()
    (tmp_path / "Python.h").unlink()
    with pytest.raises(setup_env.SetupError, match="a C compiler and Python's headers"):
        setup_env.check_compiler()


def test_a_stage_is_done_once_and_again_when_its_files_change(tmp_path, monkeypatch):
    monkeypatch.setattr(setup_env, "VENV", tmp_path)
    pins, calls = tmp_path / "pins.txt", []
    pins.write_text("a==1\n")
    for _ in range(2):
        setup_env.once("stage", (pins,), lambda: calls.append("done"))
    assert calls == ["done"]
    pins.write_text("a==2\n")
    setup_env.once("stage", (pins,), lambda: calls.append("again"))
    assert calls == ["done", "again"]


def test_a_stage_that_failed_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(setup_env, "VENV", tmp_path)
    calls = []

    def fail():
        calls.append("tried")
        raise setup_env.SetupError("no network")

    for _ in range(2):
        with pytest.raises(setup_env.SetupError):
            setup_env.once("stage", (), fail)
    assert calls == ["tried", "tried"]


def make_venv_with_companion(folder, body):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "torchvision.py").write_text(body)
    (packages / "uv").mkdir()
    (packages / "uv" / "__main__.py").write_text(
        "import sys, pathlib\n"
        "pathlib.Path(__file__).with_name('called').write_text(' '.join(sys.argv[1:]))\n"
    )
    return packages / "uv" / "called"


@pytest.mark.parametrize(
    ("body", "is_removed"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", True),
        ("version = 1", False),
    ],
)
def test_a_torchvision_of_another_torch_is_removed(tmp_path, monkeypatch, body, is_removed):
    called = make_venv_with_companion(tmp_path / "venv", body)
    monkeypatch.setattr(setup_env, "VENV", tmp_path / "venv")
    setup_env.drop_broken_companions()
    assert called.exists() == is_removed
    if is_removed:
        assert "uninstall" in called.read_text()
        assert "torchvision" in called.read_text()


def test_the_pins_bring_no_torchvision_and_no_cuda_to_a_cpu_machine():
    for name in ("base", "cpu", "portable"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert "torchvision==" not in text
        assert "nvidia-" not in text
    cuda = (ROOT / "requirements" / "cuda.txt").read_text()
    assert "vllm==" in cuda
    assert "torch==" in cuda
    assert "torchvision==" not in cuda


def read_pins(name):
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    pairs = [line.split(";")[0].strip().split("==") for line in lines if "==" in line]
    return {pair[0]: pair[1] for pair in pairs}


def test_the_cuda_bindings_are_not_overwritten_by_an_old_cuda_python():
    # Up to 12.6 it is no empty shell, but brings the same files: then FlashInfer does not load.
    cuda = read_pins("cuda")
    assert cuda["cuda-python"] == cuda["cuda-bindings"]


def test_pins_agree_between_the_base_and_the_cpu_engine():
    base, cpu = read_pins("base"), read_pins("cpu")
    assert {name: cpu[name] for name in base if name in cpu} == {
        name: version for name, version in base.items() if name in cpu
    }


def test_a_missing_python_is_said_in_one_sentence(tmp_path):
    environ = {**os.environ, "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        ["make", "-s", "setup-check", "PYTHON=python-that-is-not-there"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "Python 3.11 or newer is missing" in result.stdout
