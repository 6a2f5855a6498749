"""A run is a process of its own: started, followed, cancelled, resumed, found again.

The process here is real; what it runs is a short script in place of the trainer, except in the
slow tests.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from feedback_store.errors import DiskFull
from feedback_store.records import Adapter, Dataset, Run
from feedback_store.store import Store
from finetune import run_process, stall
from finetune.card_lending import NEEDS_CARD, lending_card
from finetune.checkpoints import find_checkpoint
from finetune.job import (
    ADAPTER_DIR,
    CHECKPOINTS_DIR,
    EVENTS_FILE,
    METRICS_FILE,
    RESULT_FILE,
    read_job,
)
from finetune.recipe import Recipe, load_recipe
from finetune.run_files import append_line, read_json, read_lines
from finetune.run_process import ProcessMark, end_process, exit_code, is_alive
from finetune.runs import (
    RunError,
    RunSettings,
    cancel_run,
    find_resumable,
    find_running,
    progress,
    recover_runs,
    resume_run,
    run_dir_of,
    start_run,
    watch_run,
)
from tests.finetune.fake_serving import FakeServing
from tests.finetune.run_bench import (
    CRASHES,
    DEAF,
    FAILS,
    HALF_GONE,
    SLEEPS,
    SPINS,
    TRAINS,
    Bench,
    leave_checkpoint,
    mark_of,
)
from tests.finetune.training_jobs import SHORT, cut, write_checkpoint, write_dataset
from tests.tiny_models import build_model


def test_a_run_is_followed_to_its_end_and_its_figures_are_kept(bench: Bench) -> None:
    bench.will_run(TRAINS)
    run = bench.start()
    assert run.state == "running"
    seen = list(watch_run(bench.store, bench.data_dir, run.run_id))
    ended = bench.store.get_run(run.run_id)
    assert ended is not None
    assert (ended.state, ended.result["eval_loss"]) == ("done", 0.5)
    assert (seen[-1].state, seen[-1].step, seen[-1].total_steps) == ("done", 3, 3)
    losses = bench.store.list_run_metrics(run.run_id, "loss")
    assert [(item.step, item.value) for item in losses] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_the_order_says_all_that_the_process_needs(bench: Bench) -> None:
    bench.will_run(TRAINS)
    run = bench.start()
    job = read_job(run_dir_of(bench.data_dir, run.run_id))
    assert job.recipe == load_recipe()
    assert job.base.path == str(bench.base)
    assert job.dataset_dir == bench.dataset.path
    bench.watch(run)


def test_a_run_that_failed_says_why(bench: Bench) -> None:
    bench.will_run(FAILS)
    ended = bench.watch(bench.start())
    assert (ended.state, ended.error) == ("failed", "Three answers are no JSON.")


def test_a_crash_is_an_interruption_with_the_last_line_of_the_log(bench: Bench) -> None:
    bench.will_run(CRASHES)
    ended = bench.watch(bench.start())
    assert ended.state == "interrupted"
    assert "the disk is on fire" in str(ended.error)


def test_only_one_run_trains_at_a_time(bench: Bench) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    with pytest.raises(RunError, match=run.run_id) as caught:
        bench.start()
    assert caught.value.code == "already_running"
    cancel_run(bench.store, bench.data_dir, run.run_id)


def test_cancel_ends_a_deaf_process_and_its_children_within_ten_seconds(bench: Bench) -> None:
    bench.will_run(DEAF)
    run = bench.start()
    time.sleep(0.5)
    began = time.monotonic()
    ended = cancel_run(bench.store, bench.data_dir, run.run_id)
    assert time.monotonic() - began < 10
    assert ended.state == "cancelled"
    assert not is_alive(mark_of(run))
    if sys.platform != "win32":
        with pytest.raises(ProcessLookupError):
            os.killpg(mark_of(run).pid, signal.SIGTERM)


def test_cancelling_what_has_ended_changes_nothing(bench: Bench) -> None:
    bench.will_run(TRAINS)
    ended = bench.watch(bench.start())
    assert cancel_run(bench.store, bench.data_dir, ended.run_id).state == "done"


def test_a_restarted_app_finds_the_run_that_still_trains(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    with monkeypatch.context() as patch:
        patch.setattr(run_process, "_CHILDREN", {})  # a new app is no parent
        assert [item.state for item in recover_runs(bench.store, bench.data_dir)] == ["running"]
        found = find_running(bench.store)
    assert found is not None
    assert found.run_id == run.run_id


def list_children() -> set[int]:
    """Processes below this one; other tests may have left theirs."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("moment", ["start", "resume"])
def test_a_training_that_cannot_be_written_down_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def is_full(*_: object, **__: object) -> Run:
        raise DiskFull(Path("ecoloop.db"))

    before = list_children()
    if moment == "resume":
        bench.will_run(CRASHES)
        run = bench.watch(bench.start())
        leave_checkpoint(run_dir_of(bench.data_dir, run.run_id))
    bench.will_run(SLEEPS)
    monkeypatch.setattr(bench.store, "add_run", is_full)
    monkeypatch.setattr(bench.store, "update_run", is_full)
    with pytest.raises(DiskFull):
        bench.start() if moment == "start" else resume_run(bench.store, bench.data_dir, run.run_id)
    assert list_children() == before
    left = [path.name for path in (bench.data_dir / "runs").iterdir()]
    assert left == ([] if moment == "start" else [run.run_id])


@pytest.mark.skipif(sys.platform != "linux", reason="zombies whose threads live are Linux's")
def test_a_process_whose_threads_still_end_has_not_ended(bench: Bench) -> None:
    bench.will_run(HALF_GONE)
    run = bench.start()
    process = psutil.Process(mark_of(run).pid)
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert find_running(bench.store) == run
    (run_dir_of(bench.data_dir, run.run_id) / "go").touch()
    ended = bench.watch(run)
    assert (ended.state, ended.result["error"]["code"]) == ("interrupted", "killed_early")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_process_that_was_ended_leaves_its_exit_code_and_nothing_else(bench: Bench) -> None:
    before = list_children()
    bench.will_run(DEAF)
    mark = mark_of(bench.start())
    time.sleep(0.5)
    end_process(mark, grace_s=0.5)
    assert exit_code(mark) == -signal.SIGKILL
    assert mark not in run_process._CHILDREN
    assert list_children() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_run_that_the_system_killed_says_so(bench: Bench) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    os.kill(mark_of(run).pid, signal.SIGKILL)
    ended = bench.watch(run)
    assert ended.state == "interrupted"
    assert "want of memory" in str(ended.error)


def test_a_restarted_app_takes_back_the_card_that_it_had_lent(bench: Bench) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    with lending_card(FakeServing(), run_dir_of(bench.data_dir, run.run_id)) as on_event:
        on_event(NEEDS_CARD)
        [found] = recover_runs(bench.store, bench.data_dir)
    assert found.state == "interrupted"
    assert not is_alive(mark_of(run))


def test_a_restarted_app_settles_the_run_that_ended_meanwhile(bench: Bench) -> None:
    bench.will_run(TRAINS)
    run = bench.start()
    deadline = time.monotonic() + 20
    while is_alive(mark_of(run)) and time.monotonic() < deadline:
        time.sleep(0.05)
    [found] = recover_runs(bench.store, bench.data_dir)
    assert (found.run_id, found.state) == (run.run_id, "done")
    assert len(bench.store.list_run_metrics(run.run_id, "loss")) == 3


def test_a_reused_process_number_is_not_taken_for_the_run() -> None:
    began = psutil.Process().create_time()
    assert is_alive(ProcessMark(os.getpid(), began))
    assert not is_alive(ProcessMark(os.getpid(), began - 3600))


def test_an_interrupted_run_goes_on_from_its_checkpoint(bench: Bench) -> None:
    bench.will_run(CRASHES)
    run = bench.watch(bench.start())
    with pytest.raises(RunError) as caught:
        resume_run(bench.store, bench.data_dir, run.run_id)
    assert caught.value.code == "not_resumable"
    run_dir = run_dir_of(bench.data_dir, run.run_id)
    assert find_resumable(bench.store, bench.data_dir) is None
    leave_checkpoint(run_dir)
    assert find_resumable(bench.store, bench.data_dir) == bench.store.get_run(run.run_id)
    bench.will_run(TRAINS)
    resumed = resume_run(bench.store, bench.data_dir, run.run_id)
    assert (resumed.state, resumed.error) == ("running", None)
    assert bench.watch(resumed).state == "done"


def test_a_run_whose_only_checkpoint_is_broken_is_not_offered(bench: Bench) -> None:
    bench.will_run(CRASHES)
    run = bench.watch(bench.start())
    folder = write_checkpoint(run_dir_of(bench.data_dir, run.run_id) / CHECKPOINTS_DIR, 10)
    cut(folder / "optimizer.pt")
    assert find_resumable(bench.store, bench.data_dir) is None


def test_a_trained_run_that_never_became_a_version_can_go_on(bench: Bench) -> None:
    bench.will_run(TRAINS)
    run = bench.watch(bench.start())
    assert find_resumable(bench.store, bench.data_dir) is None
    (run_dir_of(bench.data_dir, run.run_id) / ADAPTER_DIR).mkdir()
    found = find_resumable(bench.store, bench.data_dir)
    assert found is not None
    assert found.run_id == run.run_id


def test_a_run_that_the_watch_gave_up_is_not_offered_again(bench: Bench) -> None:
    bench.will_run(FAILS.replace("mixed_formats", "plateau"))
    run = bench.start()
    leave_checkpoint(run_dir_of(bench.data_dir, run.run_id))
    assert bench.watch(run).state == "failed"
    assert find_resumable(bench.store, bench.data_dir) is None


def test_a_run_of_a_comparison_is_never_taken_up(bench: Bench) -> None:
    bench.will_run(CRASHES)
    settings = RunSettings(is_comparison=True)
    run = start_run(bench.store, bench.data_dir, bench.dataset, Recipe(), str(bench.base), settings)
    leave_checkpoint(run_dir_of(bench.data_dir, run.run_id))
    bench.watch(run)
    assert find_resumable(bench.store, bench.data_dir) is None


def test_what_stood_still_before_its_first_checkpoint_is_to_be_started_again(
    bench: Bench,
) -> None:
    bench.will_run(CRASHES)
    run = bench.start()
    (run_dir_of(bench.data_dir, run.run_id) / "stalled").touch()  # as the page leaves it
    ended = bench.watch(run)
    assert ended.result["error"]["code"] == "stalled_early"
    assert "start again" in str(ended.error)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_process_that_stands_still_is_ended_and_can_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    leave_checkpoint(run_dir_of(bench.data_dir, run.run_id))
    os.kill(mark_of(run).pid, signal.SIGSTOP)
    monkeypatch.setattr(stall, "PATIENCE_S", 1.0)
    ended = bench.watch(run)
    assert (ended.state, ended.result["error"]["code"]) == ("interrupted", "stalled")
    assert "Resume the run" in str(ended.error)
    assert not is_alive(mark_of(run))
    assert find_resumable(bench.store, bench.data_dir) == ended


@pytest.mark.parametrize(
    ("has_checkpoint", "code", "said"),
    [(True, "stuck", "Resume the run"), (False, "stuck_early", "start again")],
)
def test_a_process_that_computes_and_gets_nowhere_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, has_checkpoint: bool, code: str, said: str
) -> None:
    bench.will_run(SPINS)
    monkeypatch.setattr(stall, "QUIET_S", 1.0)
    run = bench.start()
    if has_checkpoint:
        leave_checkpoint(run_dir_of(bench.data_dir, run.run_id))
    ended = bench.watch(run)
    assert (ended.state, ended.result["error"]["code"]) == ("interrupted", code)
    assert "without finishing one batch" in str(ended.error)
    assert said in str(ended.error)
    assert not is_alive(mark_of(run))


def test_checkpoints_go_once_the_adapter_is_a_version(bench: Bench) -> None:
    bench.will_run(TRAINS)
    run = bench.watch(bench.start())
    run_dir = run_dir_of(bench.data_dir, run.run_id)
    leave_checkpoint(run_dir)
    recover_runs(bench.store, bench.data_dir)
    assert (run_dir / CHECKPOINTS_DIR).is_dir()
    bench.store.add_adapter(
        Adapter(version="v0001", run_id=run.run_id, dataset_id="d1", base_model="b", path="a")
    )
    recover_runs(bench.store, bench.data_dir)
    assert not (run_dir / CHECKPOINTS_DIR).exists()
    assert (run_dir / RESULT_FILE).is_file()


def test_progress_of_an_unknown_run_is_an_error_of_its_own(bench: Bench) -> None:
    with pytest.raises(RunError) as caught:
        progress(bench.store, bench.data_dir, "none")
    assert caught.value.code == "unknown_run"


def test_a_reloaded_page_sees_the_same_picture(bench: Bench) -> None:
    bench.will_run(TRAINS)
    run = bench.start()
    bench.watch(run)
    shown = progress(bench.store, bench.data_dir, run.run_id)
    assert (shown.state, shown.step, len(shown.losses)) == ("done", 3, 3)
    assert read_json(run_dir_of(bench.data_dir, run.run_id) / RESULT_FILE) is not None


def test_closing_the_watch_leaves_the_run_alone(bench: Bench) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    line = {"step": 1, "total_steps": 9, "loss": 1.0}
    append_line(run_dir_of(bench.data_dir, run.run_id) / METRICS_FILE, line)
    with contextlib.closing(watch_run(bench.store, bench.data_dir, run.run_id)) as watching:
        assert next(watching).state == "running"
    assert is_alive(mark_of(run))


@pytest.mark.slow
def test_a_real_training_that_hangs_and_then_is_killed_goes_on_both_times(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list_children()
    base, data_dir = build_model(tmp_path / "base"), tmp_path / "data"
    path = write_dataset(tmp_path / "dataset")
    dataset = Dataset(dataset_id="d1", path=str(path), num_train=12, num_validation=3)
    store.add_dataset(dataset, [])
    recipe = replace(SHORT, min_steps=3000, max_steps=3000, eval_steps=20, patience=0)
    run = start_run(store, data_dir, dataset, recipe, str(base))
    run_dir = run_dir_of(data_dir, run.run_id)
    wait_until(lambda: find_checkpoint(run_dir / CHECKPOINTS_DIR) is not None)

    os.killpg(mark_of(run).pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:  # the application starts anew, and follows what it finds
        patch.setattr(run_process, "_CHILDREN", {})
        patch.setattr(stall, "PATIENCE_S", 1.0)
        assert [item.state for item in recover_runs(store, data_dir)] == ["running"]
        shown = [seen.state for seen in watch_run(store, data_dir, run.run_id)]
    assert shown == ["running", "interrupted"]
    assert not is_alive(mark_of(run))
    hung = find_resumable(store, data_dir)  # as the page offers it
    assert hung is not None
    assert hung.result["error"]["code"] == "stalled"
    assert "did nothing" in str(hung.error)

    resumed = resume_run(store, data_dir, run.run_id)
    wait_until(lambda: "resumed" in (run_dir / EVENTS_FILE).read_text())
    [line] = [line for line in read_lines(run_dir / EVENTS_FILE) if line["kind"] == "resumed"]
    assert line["step"] >= 20
    assert find_running(store) == resumed  # as a reloaded page does it
    os.killpg(mark_of(resumed).pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(mark_of(resumed)))
    [killed] = recover_runs(store, data_dir)
    assert (killed.state, killed.result["error"]["code"]) == ("interrupted", "killed")
    assert "want of memory" in str(killed.error)
    assert find_resumable(store, data_dir) == killed
    assert find_running(store) is None
    assert list_children() == before


def wait_until(is_so: Callable[[], bool]) -> None:
    """Within two minutes, on however busy a machine."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
