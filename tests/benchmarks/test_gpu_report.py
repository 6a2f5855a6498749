from pathlib import Path

from benchmarks.gpu.report import build_report
from benchmarks.gpu.results import Measured, SectionResult, read_results
from benchmarks.gpu.sections import SECTIONS, find_section

DOCS = Path(__file__).parents[2] / "docs"
AT = "2026-11-21T10:00:00+00:00"
H200 = {"card": "NVIDIA H200", "torch": "2.14.0"}


def measured(section: str, figures: dict[str, dict]) -> SectionResult:
    return SectionResult(H200, {name: Measured(AT, values) for name, values in figures.items()})


def everything() -> dict[str, SectionResult]:
    return {
        section.name: measured(section.name, {cell.name: {"seconds": 1} for cell in section.cells})
        for section in SECTIONS
    }


def first_line(results: dict[str, SectionResult]) -> str:
    return build_report(results).splitlines()[0]


def row_of(report: str, beginning: str) -> list[str]:
    line = next(line for line in report.splitlines() if line.startswith(f"| {beginning}"))
    return [part.strip() for part in line.strip("|").split("|")]


def test_the_first_line_says_that_the_figures_are_open() -> None:
    assert first_line({}) == "# The GPU path: the figures are open, no GPU was at hand"
    impossible = {"serving": SectionResult(why="not installed: vllm", is_impossible=True)}
    assert "the figures are open" in first_line(impossible)


def test_the_first_line_names_the_card_and_what_is_still_open() -> None:
    results = everything()
    assert first_line(results) == "# The GPU path, measured on NVIDIA H200"
    del results["serving"], results["loop"]
    assert first_line(results) == "# The GPU path, measured on NVIDIA H200; open: serving, loop"


def test_a_dry_run_never_looks_like_a_measurement() -> None:
    report = build_report(everything(), is_dry=True)
    assert report.splitlines()[0] == (
        "# A dry run without a GPU: no figure on this page means anything"
    )


def test_what_is_not_measured_is_listed_all_the_same() -> None:
    report = build_report({})
    for section in SECTIONS:
        assert f"## {section.title}" in report
        for cell in section.cells:
            assert row_of(report, cell.about)[-1] == "open"


def test_figures_stand_in_their_columns() -> None:
    figures = {"tokens_per_s": 41234.4, "step_ms": 397.3, "mfu": 0.4312, "rows_at_once": 16}
    memory = {"peak_mib": 20_000.0, "planned_mib": 21_000.0, "plan_error": 0.05}
    results = {"training": measured("training", {"gemma-1b/bf16": figures | memory})}
    row = row_of(build_report(results), "gemma-1b, bf16")
    assert row[1:] == ["16", "41,234", "397", "43.1%", "20,000", "21,000", "+5.0%", "measured"]


def test_the_machine_and_its_versions_are_named() -> None:
    report = build_report({"card": measured("card", {"matrix-rate": {"tflops": 788.0}})})
    assert "Measured with (card): card NVIDIA H200 · torch 2.14.0." in report


def test_why_something_is_missing_is_said() -> None:
    serving = SectionResult(H200, {}, "not installed: vllm.", is_impossible=True)
    levers = {"liger": Measured(AT, error="not possible: liger-kernel is not installed")}
    broken = {"seeds": Measured(AT, error="OutOfMemoryError: 3 GiB | more")}
    report = build_report(
        {
            "serving": serving,
            "levers": SectionResult(H200, levers),
            "peers": SectionResult(H200, broken),
        }
    )
    assert "**Not possible there**: not installed: vllm." in report
    assert row_of(report, "+ Liger's")[-1] == "not possible: liger-kernel is not installed"
    assert "failed: OutOfMemoryError: 3 GiB / more" in report  # a bar would end the cell


def test_a_lever_is_compared_with_the_row_above_that_was_measured() -> None:
    figures = {
        "start": {"tokens_per_s": 1000.0},
        "larger-micro-batch": {"tokens_per_s": 3000.0},
        "varlen": {"tokens_per_s": 3600.0},  # the one between could not be tried
    }
    report = build_report({"levers": measured("levers", figures)})
    table = find_section("levers").cells
    rows = {cell.name: row_of(report, cell.about) for cell in table}
    assert rows["start"][1:] == ["1,000", "", "", "measured"]
    assert rows["larger-micro-batch"][1:] == ["3,000", "2.50", "3.00", "measured"]
    assert rows["no-checkpointing"][1:] == ["", "1.30", "", "open"]
    assert rows["varlen"][1:] == ["3,600", "1.15", "1.20", "measured"]


def test_the_goals_are_judged_by_what_was_measured() -> None:
    figures = {"seeds": 1000.0, "trl-packing": 4000.0, "ours": 4200.0}
    cells = {name: {"tokens_per_s": speed} for name, speed in figures.items()}
    report = build_report({"peers": measured("peers", cells)})
    assert "Ours against seeds: 4.20 times; the goal is 4: reached." in report
    assert "Ours against trl-packing: 1.05 times; the goal is 1.1: not reached." in report


def test_the_page_in_docs_is_what_its_figures_say() -> None:
    assert (DOCS / "gpu-report.md").read_text() == build_report(read_results(DOCS))
