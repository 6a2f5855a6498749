"""The next memory plan is nearer to what the last run used."""

from pathlib import Path
from typing import Any

import pytest

from finetune.memory_history import (
    correction_of,
    raise_corrections,
    read_corrections,
    remember_memory,
    remember_shortage,
)

ESTIMATE = {"process": 700, "weights": 100, "adapter": 0, "activations": 300, "logits": 100}


def make_memory(peak: int, correction: float = 1.0, num_shortages: int = 0) -> dict[str, Any]:
    return {
        "estimate_mib": ESTIMATE,
        "peak_mib": peak,
        "correction": correction,
        "num_shortages": num_shortages,
        "load": {"device": "cpu"},
    }


@pytest.mark.parametrize(
    ("memory", "factor"),
    [
        (make_memory(1200), 1.0),
        (make_memory(1400), 1.5),
        (make_memory(1200, correction=2.0), 2.0),
        (make_memory(10), 0.5),
        (make_memory(99_999), 4.0),
        (make_memory(1200, num_shortages=1), 1.25),
        ({}, None),
    ],
)
def test_the_factor_is_what_was_used_over_what_was_predicted(
    memory: dict[str, Any], factor: float | None
) -> None:
    assert correction_of(memory) == factor


def test_it_is_kept_per_base_and_device(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert read_corrections(tmp_path, "starter")["cpu"] == 1.0
    remember_memory(tmp_path, "starter", {"memory": make_memory(1400)})
    remember_memory(tmp_path, "kanana", {"memory": make_memory(1600)})
    assert read_corrections(tmp_path, "starter")["cpu"] == 1.5
    assert read_corrections(tmp_path, "kanana")["cpu"] == 2.0
    assert read_corrections(tmp_path, "starter")["cuda"] == 1.0


def test_of_two_stages_the_one_that_needed_more_counts(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    first, second = {"memory": make_memory(1600)}, {"memory": make_memory(1000)}
    remember_memory(tmp_path, "starter", {**second, "sft": first})
    assert read_corrections(tmp_path, "starter")["cpu"] == 2.0


def test_a_run_that_failed_for_want_of_memory_teaches_the_next_plan(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    error = {"code": "not_enough_memory", "message": "Memory ran out."}
    memory = make_memory(1200, correction=1.5, num_shortages=2)
    remember_memory(tmp_path, "starter", {"state": "failed", "error": error, "memory": memory})
    assert read_corrections(tmp_path, "starter")["cpu"] == 1.875


def test_a_result_without_figures_and_a_damaged_file_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    remember_memory(tmp_path, "starter", {})
    (tmp_path / "runs" / "memory.json").write_text('{"starter|cpu": "much"}')
    assert read_corrections(tmp_path, "starter")["cpu"] == 1.0


def test_an_end_by_force_teaches_the_next_plan_of_that_base(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    remember_memory(tmp_path, "starter", {"memory": make_memory(1400)})
    remember_shortage(tmp_path, "starter")
    assert read_corrections(tmp_path, "starter") == {"cpu": 1.875, "cuda": 1.25}
    assert read_corrections(tmp_path, "kanana") == {"cpu": 1.0, "cuda": 1.0}
    remember_memory(tmp_path, "starter", {"memory": make_memory(1200)})  # one that was measured
    assert read_corrections(tmp_path, "starter")["cpu"] == 1.0


def test_after_a_shortage_more_is_expected_up_to_a_limit() -> None:
    assert raise_corrections({"cpu": 0.8, "cuda": 3.9}) == {"cpu": 1.25, "cuda": 4.0}


def test_what_was_learnt_for_another_formula_is_forgotten(tmp_path: Path) -> None:
    """It would make each run smaller and slower than need be, or let the first one run short."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "memory.json").write_text('{"kanana|cuda": 4.0, "kanana|cpu": 1.5}')
    assert read_corrections(tmp_path, "kanana") == {"cpu": 1.5, "cuda": 1.0}
    remember_shortage(tmp_path, "kanana")
    assert read_corrections(tmp_path, "kanana") == {"cpu": 1.875, "cuda": 1.25}
