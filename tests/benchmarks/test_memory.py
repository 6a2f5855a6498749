"""The memory plan against a simulated step of the real trainer at real sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_plan_covers_what_a_simulated_step_holds_and_little_more() -> None:
    """Attention without padding and with it, activations kept and recomputed, the base whole and
    in 4 bits.
    """
    command = [sys.executable, "benchmarks/memory.py", "--quick", "--json", "--layers", "6"]
    command += ["--only", "gemma-1b"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 2, done.stderr[-2000:]
    for line in lines:
        assert 1.0 <= line["ratio"] <= 1.15, line
        assert line["held"]["weights"] == pytest.approx(line["planned"]["weights"], rel=0.01)
