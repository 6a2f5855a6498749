"""Set up the project's own virtual environment: `python3 setup_env.py run|check|test`.

Standard library only: it runs before anything is installed. Each stage is done once and remembered
by a stamp, so the second call takes a fraction of a second. Pinned versions: requirements/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
CPU_TORCH = "2.13.0"
LEAST_DRIVER, LEAST_CAPABILITY = 580, 7.5  # of CUDA 13
TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


class SetupError(RuntimeError):
    """Something is missing; the message says what and what to do."""


def say(text: str) -> None:
    """One line on the terminal."""
    print(f"setup: {text}", flush=True)


def venv_python() -> Path:
    """The interpreter of the project's environment."""
    windows = sys.platform == "win32"
    return VENV / ("Scripts/python.exe" if windows else "bin/python")


def run(*command: str | Path, fix: str) -> None:
    """Run a command quietly; on failure show the end of its output and say what to do."""
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-15:])
        raise SetupError(f"{tail}\n{fix}")


def pip(*arguments: str | Path, fix: str = "Check the network and try again.") -> None:
    """pip of the project's environment, with whatever configuration pip has on this machine."""
    run(venv_python(), "-m", "pip", "--disable-pip-version-check", *arguments, fix=fix)


def uv(*arguments: str | Path, fix: str = "Check the network and try again.") -> None:
    """uv in the project's environment: the same packages as pip, in a tenth of the time."""
    run(venv_python(), "-m", "uv", "pip", *arguments, "--python", venv_python(), fix=fix)


def find_device() -> str:
    """cuda where a fit NVIDIA GPU is seen, cpu otherwise; ECOLOOP_DEVICE overrides."""
    wanted = os.environ.get("ECOLOOP_DEVICE", "")
    if wanted in ("cpu", "cuda"):
        return wanted
    if wanted:
        raise SetupError(f"ECOLOOP_DEVICE is {wanted!r}; it must be cpu or cuda.")
    cards = list_cards()
    if not cards:
        return "cpu"
    why = explain_unfit(*cards[0])
    if why:
        say(f"{why} Everything is installed for the CPU; ECOLOOP_DEVICE=cuda insists.")
    return "cpu" if why else "cuda"


def list_cards() -> list[list[str]]:
    """Name, driver and compute capability of each NVIDIA card that the driver's tool sees."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    command = [tool, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    cards = [line.split(", ") for line in listed.stdout.splitlines() if line.count(", ") == 2]
    return [] if listed.returncode else cards


def explain_unfit(name: str, driver: str, capability: str) -> str:
    """Why the pinned torch and vLLM, built for CUDA 13, cannot use this card; "" if they can."""
    version = driver.split(".")[0]
    if version.isdigit() and int(version) < LEAST_DRIVER:
        return (
            f"{name} has driver {driver}, but CUDA 13 needs {LEAST_DRIVER} or newer: "
            "update the driver, then run this again."
        )
    try:
        is_old = float(capability) < LEAST_CAPABILITY
    except ValueError:  # "[N/A]": let torch say it
        return ""
    if is_old:
        return f"{name} has compute capability {capability}; {LEAST_CAPABILITY} is needed."
    return ""


def has_vllm_wheels() -> bool:
    """vLLM is published for Linux on these two processors."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


def stamp_of(stage: str, *files: Path) -> str:
    """What a finished stage depends on."""
    digest = hashlib.sha256(f"{stage} {sys.version} {ROOT}".encode())
    for path in (Path(__file__), *files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def once(stage: str, files: tuple[Path, ...], work: object) -> None:
    """Do the work unless its stamp says that it is done."""
    assert callable(work)
    path, stamp = VENV / f".{stage}-done", stamp_of(stage, *files)
    if path.exists() and path.read_text() == stamp:
        return
    work()
    path.write_text(stamp)


def make_venv() -> None:
    """The environment itself, with uv in it."""
    if not venv_python().exists():
        say(f"making the virtual environment {VENV.name}")
        run(
            sys.executable,
            "-m",
            "venv",
            VENV,
            fix="Python's venv module is missing: install it (on Debian or Ubuntu the package "
            "python3-venv) and try again.",
        )
    pip("install", "-q", "uv", fix="uv could not be installed: pip needs a way to its index.")


def install_base() -> None:
    """What the page, the store and the fast checks need; no torch."""
    say("installing the base packages")
    uv("install", "-q", "--no-deps", "-r", REQUIREMENTS / "base.txt")


def install_dev() -> None:
    """The checks."""
    say("installing the packages of the checks")
    uv("install", "-q", "--no-deps", "-r", REQUIREMENTS / "dev.txt")


def pip_finds_cpu_torch() -> bool:
    """Whether pip, as configured here, would install a torch without CUDA packages."""
    command = [
        str(venv_python()),
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-deps",
        "-q",
        "--ignore-installed",
        "--report",
        "-",
        f"torch=={CPU_TORCH}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        metadata = json.loads(result.stdout)["install"][0]["metadata"]
    except (ValueError, KeyError, IndexError):
        return False
    needs = " ".join(metadata.get("requires_dist", []))
    return "+cpu" in metadata["version"] or ("nvidia-" not in needs and "cuda-" not in needs)


def install_cpu_torch() -> None:
    """torch without CUDA: by pip where its sources have one, else from PyTorch's CPU builds."""
    say(f"installing torch {CPU_TORCH} for the CPU")
    if pip_finds_cpu_torch():
        pip("install", "-q", "--no-deps", f"torch=={CPU_TORCH}")
        return
    uv(
        "install",
        "-q",
        "--no-deps",
        "--torch-backend",
        "cpu",
        f"torch=={CPU_TORCH}",
        fix="torch for the CPU could not be fetched: PyTorch's CPU builds must be reachable.",
    )


def drop_broken_companions() -> None:
    """torchvision and its siblings built for another torch break `import transformers` models."""
    for name in TORCH_COMPANIONS:
        probe = subprocess.run(
            [venv_python(), "-c", f"import {name}"], capture_output=True, text=True, check=False
        )
        if probe.returncode and "No module named" not in probe.stderr:
            say(f"removing {name}: it was built for another torch and would break model loading")
            uv("uninstall", "-q", name)


def check_compiler() -> None:
    """Triton builds its way to the driver in C at vLLM's first start; without, the engine dies."""
    # Pythons beside Ubuntu's own tell get_paths() a folder below /usr/local, where no package puts
    # them; of those that are built to be moved, INCLUDEPY is where they were built.
    folders = [sysconfig.get_config_var("INCLUDEPY"), sysconfig.get_paths()["include"]]
    headers = [Path(str(folder)) / "Python.h" for folder in folders]
    compilers = (os.environ.get("CC"), *map(shutil.which, ("gcc", "clang")))
    missing = [] if any(compilers) else ["a C compiler"]
    if not any(path.exists() for path in headers):
        missing.append(f"Python's headers ({headers[0]})")
    if missing:
        raise SetupError(
            f"vLLM on a GPU needs {' and '.join(missing)}: install them (on Debian or Ubuntu the "
            f"packages g++ and python{sysconfig.get_python_version()}-dev) and try again, or set "
            "ECOLOOP_DEVICE=cpu."
        )


def fetch_kernels() -> None:
    """Ready-made kernels for the cards (10.x) on which vLLM attends with FlashInfer, which else
    compiles for minutes at the first start. On all others vLLM brings its own.
    """
    if not any(capability.startswith("10.") for _, _, capability in list_cards()):
        return
    say("fetching ready-made kernels for vLLM")
    command = [str(venv_python()), "-m", "vllm.entrypoints.cli.main", "download-kernels"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        say("there are none for this machine: the model server's first start takes longer")


def install_engine(device: str) -> None:
    """torch, vLLM and the training packages for this machine."""
    if not has_vllm_wheels():
        say("no vLLM for this system: the in-process engine will be used")
        install_cpu_torch()
        uv("install", "-q", "--no-deps", "-r", REQUIREMENTS / "portable.txt")
    elif device == "cuda":
        check_compiler()
        say("installing vLLM and torch for CUDA (several GB)")
        uv("install", "-q", "--no-deps", "-r", REQUIREMENTS / "cuda.txt")
        fetch_kernels()
    else:
        install_cpu_torch()
        say("installing vLLM for the CPU")
        uv("install", "-q", "--no-deps", "-r", REQUIREMENTS / "cpu.txt")
    drop_broken_companions()
    run(
        venv_python(),
        "-c",
        "import torch; from transformers import LlamaForCausalLM",
        fix="torch and transformers do not load together; remove .venv and try again.",
    )
    if device == "cuda" and has_vllm_wheels() and not os.environ.get("ECOLOOP_DEVICE"):
        run(
            venv_python(),
            "-c",
            "import torch; assert torch.cuda.is_available(), 'torch sees no GPU'",
            fix="torch was installed for CUDA but cannot use the GPU: look at nvidia-smi, or set "
            "ECOLOOP_DEVICE=cpu and try again.",
        )


def find_chromium() -> str | None:
    """A Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


def install_browser() -> None:
    """Chromium and a Korean font for the browser tests."""
    if find_chromium():
        return
    say("installing Chromium for the browser tests")
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        fix = "Chromium could not be installed by apt-get; install it by hand and try again."
        run("apt-get", "update", "-q", fix=fix)
        run(
            "apt-get",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "chromium",
            "fonts-nanum",
            fix=fix,
        )
        return
    run(
        venv_python(),
        "-m",
        "playwright",
        "install",
        "chromium",
        fix="The browser tests need Chromium: install it (package chromium) and try again.",
    )


def set_up(purpose: str) -> None:
    """Everything that `purpose` (run, check or test) needs."""
    if sys.version_info < (3, 11):  # noqa: UP036  this file must say so itself
        raise SetupError(f"Python {platform.python_version()} is too old; 3.11 or newer is needed.")
    VENV.mkdir(exist_ok=True)
    base, dev = REQUIREMENTS / "base.txt", REQUIREMENTS / "dev.txt"
    once("venv", (), make_venv)
    once("base", (base,), install_base)
    if purpose in ("check", "test"):
        once("dev", (dev,), install_dev)
    if purpose in ("run", "test"):
        device = find_device()
        files = tuple(REQUIREMENTS / f"{name}.txt" for name in ("cpu", "cuda", "portable"))
        once(f"engine-{device}", files, lambda: install_engine(device))
    if purpose == "test":
        once("browser", (), install_browser)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Set up the virtual environment of the project.")
    parser.add_argument("purpose", choices=("run", "check", "test"), help="what it is for")
    try:
        set_up(parser.parse_args().purpose)
    except SetupError as error:
        print(f"setup failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
