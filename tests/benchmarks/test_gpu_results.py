from pathlib import Path

import pytest

from benchmarks.gpu.results import (
    Measured,
    SectionResult,
    read_results,
    state_of,
    write_results,
)
from benchmarks.gpu.sections import NAMES, SECTIONS, cells_of, find_section

CARD = find_section("card")
FAST = Measured("2026-11-21T10:00:00+00:00", {"tflops": 790.5})


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    results = {
        "card": SectionResult({"card": "NVIDIA H200"}, {"matrix-rate": FAST}, "too slow"),
        "loop": SectionResult(why="no gradio", is_impossible=True),
    }
    write_results(tmp_path / "new", results)
    assert read_results(tmp_path / "new") == results


def test_there_are_no_results_before_the_first_call(tmp_path: Path) -> None:
    assert read_results(tmp_path) == {}


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (None, "open"),
        (SectionResult(), "open"),
        (SectionResult(cells={"matrix-rate": FAST}), "partial"),
        (SectionResult(cells={"matrix-rate": FAST, "copy-rate": FAST}), "done"),
        (SectionResult(cells={"matrix-rate": Measured("", error="OutOfMemoryError: ")}), "failed"),
        (SectionResult(why="vllm is missing", is_impossible=True), "impossible"),
        (SectionResult(why="the time limit came first"), "partial"),
    ],
)
def test_where_a_section_stands(result: SectionResult | None, state: str) -> None:
    assert state_of(CARD, result) == state


def test_what_cannot_be_tried_is_no_failure() -> None:
    tried = Measured("", error="not possible: liger-kernel is not installed")
    assert state_of(CARD, SectionResult(cells={"matrix-rate": FAST, "copy-rate": tried})) == "done"


def test_every_section_has_measurements_of_its_own_names_and_a_dry_run() -> None:
    assert len(set(NAMES)) == len(NAMES) == 6
    for section in SECTIONS:
        names = [cell.name for cell in section.cells]
        assert len(set(names)) == len(names)
        dry = cells_of(section, is_dry=True)
        assert dry
        assert [cell.name for cell in dry] == [n for n in names if n in section.dry_cells]


def test_training_is_planned_for_four_architectures_in_two_kinds_of_numbers() -> None:
    planned = {(c.options["model"], c.options["numbers"]) for c in find_section("training").cells}
    assert len(planned) == 8
    assert {numbers for _, numbers in planned} == {"bf16", "nf4"}


def test_the_levers_come_in_the_order_of_their_predicted_gain() -> None:
    first, *rungs = find_section("levers").cells
    gains = [rung.predicted for rung in rungs]
    assert first.predicted is None
    assert None not in gains
    assert gains == sorted(gains, reverse=True)  # type: ignore[type-var]


def test_streams_are_measured_with_and_without_an_adapter() -> None:
    found = {
        (cell.options["streams"], cell.options["lora"])
        for cell in find_section("serving").cells
        if "lora" in cell.options
    }
    assert found == {(count, lora) for count in (1, 16, 64) for lora in (True, False)}
