"""Several recipes on the same rows: one table, whatever became of each run."""

import json
from pathlib import Path

import pytest

from feedback_store.records import Run
from finetune.job import read_job
from finetune.recipe import load_recipe
from finetune.runs import find_resumable, run_dir_of
from finetune.sweep import (
    EXPERIENCES,
    Sweep,
    SweepRow,
    count_samples,
    describe,
    render_table,
    run_sweep,
    shorten,
)
from tests.finetune.run_bench import FAILS, Bench
from tests.finetune.training_jobs import make_answer, write_dataset, write_lines

SLEEPS = """
import sys, json, time, pathlib
run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
line = {"time": "2026-01-01T00:00:00.000Z", "step": 5, "total_steps": 10, "loss": 1.0}
(run / "metrics.jsonl").write_text(json.dumps(line) + "\\n")
time.sleep(300)
"""
TRAINS = """
import sys, json, pathlib
run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
recipe = json.loads((run / "recipe.json").read_text())["recipe"]
result = {
    "state": "done", "recipe": {**recipe, "r": recipe["r"] or 8, "learning_rate": 1e-3},
    "steps": 60, "train_loss": 0.2, "eval_loss": 0.3, "base_eval_loss": 1.2,
    "tokens_per_s": 1500.0, "duration_s": 90.0, "stopped_early": {"code": "no_gain"},
}
(run / "result.json").write_text(json.dumps(result))
"""


def test_each_recipe_gives_a_row_and_none_of_them_becomes_a_version(bench: Bench) -> None:
    write_dataset(Path(bench.dataset.path) / "rows")
    for path in (Path(bench.dataset.path) / "rows").iterdir():
        path.rename(Path(bench.dataset.path) / path.name)
    bench.will_run(TRAINS)
    told: list[str] = []
    sweep = Sweep(bench.dataset, str(bench.base), ("balanced", "qv-only"), 5, "text")
    rows = list(run_sweep(bench.store, sweep, told.append))
    assert [(row.recipe, row.layers, row.r) for row in rows] == [
        ("balanced", "all-linear", 8),
        ("qv-only", "q+v", 8),
    ]
    assert [line.partition(":")[0] for line in told] == ["balanced", "qv-only"]
    assert all("run 20" in line for line in told)
    for row in rows:
        assert read_job(run_dir_of(bench.data_dir, row.run_id)).answer_format == "text"
        (run_dir_of(bench.data_dir, row.run_id) / "adapter").mkdir()
    assert find_resumable(bench.store, bench.data_dir) is None


def test_a_run_that_fails_is_a_row_with_its_reason(bench: Bench) -> None:
    write_lines(Path(bench.dataset.path) / "train.jsonl", [])
    bench.will_run(FAILS)
    sweep = Sweep(bench.dataset, str(bench.base), ("quick",))
    [row] = run_sweep(bench.store, sweep, lambda _text: None)
    assert (row.state, row.why, row.val_loss) == ("failed", "mixed_formats", None)


def test_whoever_is_told_may_end_a_sweep_and_with_it_the_run_that_trains(bench: Bench) -> None:
    bench.will_run(SLEEPS)

    def leave(text: str) -> None:
        if ": step" in text:
            raise KeyboardInterrupt

    sweep = Sweep(bench.dataset, str(bench.base), ("quick", "balanced"))
    with pytest.raises(KeyboardInterrupt):
        list(run_sweep(bench.store, sweep, leave))
    [run] = bench.store.list_runs(9)
    assert run.state == "cancelled"


def test_every_experience_has_a_recipe_and_can_be_cut_short() -> None:
    assert set(EXPERIENCES) == {
        "overnight-v2", "all-linear-v3", "qv-only", "qvko", "persona-r16", "persona-r64",
        "student-140",
    }  # fmt: skip
    short = shorten(load_recipe("balanced"), 10)
    assert (short.min_steps, short.max_steps, short.tracking) == (10, 10, "off")


def test_sampled_answers_are_counted_at_the_last_evaluation(tmp_path: Path) -> None:
    good, other = make_answer(1), make_answer(2)
    lines = [
        {"step": 3, "prompt": "a", "expected": good, "answer": "early noise"},
        {"step": 6, "prompt": "a", "expected": good, "answer": good},
        {"step": 6, "prompt": "b", "expected": good, "answer": other},
        {"step": 6, "prompt": "c", "expected": good, "answer": "noise"},
        {"step": 6, "prompt": "d", "expected": good, "answer": make_answer(3)},
    ]
    write_lines(tmp_path / "samples.jsonl", lines)
    shares = count_samples(tmp_path, {other: {"another question"}})
    assert shares == {"well_formed": 0.75, "expected": 0.25, "parroted": 0.25}
    assert count_samples(tmp_path / "nowhere", {}) == {}


@pytest.mark.parametrize("state", ["interrupted", "cancelled"])
def test_a_run_without_a_result_still_has_a_row(state: str) -> None:
    run = Run(
        run_id="r", kind="sft", state=state, dataset_id="d", base_model="b", recipe={}, error=None
    )  # type: ignore[arg-type]
    assert describe("quick", run, {}) == SweepRow("quick", "r", state, why=state)


def test_the_table_is_one_line_a_recipe_with_blanks_for_what_is_unknown() -> None:
    rows = [
        SweepRow("balanced", "r1", "done", "all-linear", 8, 1e-3, 60, 0.2, 1.2, 0.3, 1.0),
        SweepRow("quick", "r2", "failed", why="plateau"),
    ]
    head, line, first, second = render_table(rows).splitlines()
    assert len({len(text) for text in (head, line, first, second)}) == 1
    assert "| 100%" in first
    assert "plateau" in second
    assert json.dumps(rows[0].to_dict())
