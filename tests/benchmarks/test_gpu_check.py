"""The command from outside; the sections themselves run in the slow test below, on the CPU."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import gpu_check
from benchmarks.gpu.results import Measured, SectionResult, read_results, write_results
from benchmarks.gpu.sections import find_section

COMMAND = [sys.executable, str(Path(gpu_check.__file__))]
BLIND = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"}


def check(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--out", str(out), "--work", str(out / "work"), *arguments]
    return subprocess.run(command, env=BLIND, capture_output=True, text=True, timeout=300)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_check.has_card.cache_clear()
    monkeypatch.setattr(gpu_check.shutil, "which", lambda _: None)


def test_without_a_gpu_every_section_says_so_and_the_report_is_written(
    tmp_path: Path, no_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path)])
    assert gpu_check.main() == gpu_check.EXIT_IMPOSSIBLE
    report = (tmp_path / "gpu-report.md").read_text()
    assert report.splitlines()[0].endswith("the figures are open, no GPU was at hand")
    for result in read_results(tmp_path).values():
        assert result.is_impossible
        assert "no CUDA GPU" in result.why or "not installed" in result.why


def test_what_was_measured_elsewhere_stays(
    tmp_path: Path, no_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {name: Measured("", {"tflops": 790}) for name in ("matrix-rate", "copy-rate")}
    write_results(tmp_path, {"card": SectionResult({"card": "NVIDIA H200"}, cells)})
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path), "--only", "loop"])
    gpu_check.main()
    first = (tmp_path / "gpu-report.md").read_text().splitlines()[0]
    assert first.startswith("# The GPU path, measured on NVIDIA H200; open: training")
    assert dict(read_results(tmp_path)["card"].cells) == cells


def test_a_missing_package_is_named(no_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "find_spec", lambda name: None if name == "vllm" else name)
    why = gpu_check.find_obstacle(find_section("serving"), is_dry=True)
    assert why.startswith("not installed: vllm (requirements/cuda.txt).")
    assert gpu_check.find_obstacle(find_section("card"), is_dry=True) == ""


def test_an_unknown_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--only", "card,everything"])
    with pytest.raises(SystemExit):
        gpu_check.main()


def test_at_the_time_limit_the_whole_group_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 60 & echo $! > {note}; wait"]
    assert gpu_check._run_until(command, time.monotonic() + 1) is None
    pid = int(note.read_text())
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


@pytest.mark.slow
def test_the_dry_run_trains_every_way(tmp_path: Path) -> None:
    done = check(tmp_path, "--dry-run", "--only", "card,training,peers,levers")
    assert done.returncode == 0, done.stdout + done.stderr
    report = (tmp_path / "gpu-report.md").read_text()
    assert report.startswith("# A dry run without a GPU")
    assert "Ours against seeds:" in report
    values = json.loads((tmp_path / "gpu-report.json").read_text())["sections"]
    losses = [cell["figures"]["loss"] for cell in values["levers"]["cells"].values()]
    assert max(losses) - min(losses) < 1e-3  # each rung computes the same, only faster
    nf4 = values["training"]["cells"]["kanana-2b/nf4"]["figures"]
    assert nf4["planned_mib"] > 0
    assert 0 < nf4["mfu"] < 1
