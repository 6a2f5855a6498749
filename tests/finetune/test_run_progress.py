"""What a run shows, from the lines of its folder."""

from pathlib import Path

from finetune.job import EVENTS_FILE, METRICS_FILE, SAMPLES_FILE
from finetune.run_files import append_line
from finetune.run_progress import RunLog


def write_metrics(folder: Path, step: int, **values: float) -> None:
    append_line(folder / METRICS_FILE, {"step": step, "total_steps": 10, **values})


def test_an_empty_folder_waits(tmp_path: Path) -> None:
    progress = RunLog("r1", tmp_path).progress("queued")
    assert (progress.step, progress.total_steps, progress.code) == (0, 0, "queued")


def test_figures_events_and_samples_make_one_picture(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    append_line(tmp_path / EVENTS_FILE, {"kind": "training", "message": "Training.", "step": 0})
    for step in (1, 2, 3):
        write_metrics(tmp_path, step, loss=1.0 / step, learning_rate=0.1, tokens_per_s=500.0)
    write_metrics(tmp_path, 3, eval_loss=0.4)
    sample = {"step": 3, "prompt": "p", "expected": "e", "answer": "a"}
    append_line(tmp_path / SAMPLES_FILE, sample)
    figures = log.refresh()
    progress = log.progress("running")
    assert len(figures) == 3 * 3 + 1
    assert (progress.step, progress.total_steps) == (3, 10)
    assert (progress.loss, progress.eval_loss) == (1 / 3, 0.4)
    assert progress.losses == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert progress.code == "training"
    assert progress.samples[0].answer == "a"
    assert progress.eta_s is not None
    assert log.refresh() == []


def test_a_resumed_run_forgets_the_figures_after_its_checkpoint(tmp_path: Path) -> None:
    log = RunLog("r1", tmp_path)
    for step in range(1, 6):
        write_metrics(tmp_path, step, loss=9.0)
    log.refresh()
    append_line(tmp_path / EVENTS_FILE, {"kind": "resumed", "message": "Going on.", "step": 3})
    log.refresh()
    assert [step for step, _ in log.progress("running").losses] == [1, 2, 3]


def test_only_the_samples_of_the_last_evaluation_are_shown(tmp_path: Path) -> None:
    for step in (10, 10, 20):
        line = {"step": step, "prompt": "p", "expected": "e", "answer": str(step)}
        append_line(tmp_path / SAMPLES_FILE, line)
    log = RunLog("r1", tmp_path)
    log.refresh()
    assert [sample.step for sample in log.progress("running").samples] == [20]


def test_a_long_run_is_thinned_to_what_a_plot_can_show(tmp_path: Path) -> None:
    for step in range(1, 2001):
        write_metrics(tmp_path, step, loss=1.0)
    log = RunLog("r1", tmp_path)
    log.refresh()
    losses = log.progress("running").losses
    assert len(losses) <= 600
    assert losses[-1][0] == 2000
