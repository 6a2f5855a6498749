"""The order of a run: where things lie, room on the disk, and less where memory ran out."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.job import (
    CHECKPOINTS_DIR,
    EVENTS_FILE,
    PREFERENCES_DIR,
    SFT_DIR,
    read_job,
)
from finetune.memory import Machine, Rows, estimate_memory, plan_memory
from finetune.model_shape import count_trainable, read_shape
from finetune.recipe import adapt_recipe, load_recipe
from finetune.run_files import append_line, read_lines
from finetune.runs import (
    RunError,
    cancel_run,
    find_resumable,
    resume_run,
    run_dir_of,
)
from tests.finetune.run_bench import CRASHES, SLEEPS, TRAINS, Bench, leave_checkpoint, mark_of
from tests.finetune.training_jobs import write_checkpoint


def test_a_disk_without_room_is_said_with_figures_before_any_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 2**28})()
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(RunError, match=r"0\.5 GiB of disk .* 0\.2 GiB are free") as caught:
        bench.start()
    assert caught.value.code == "no_room"
    assert caught.value.values == {"needed": "0.5", "free": "0.2"}
    assert bench.store.list_runs(10) == []
    assert not any((bench.data_dir / "runs").glob("*"))


@pytest.mark.parametrize("stage", ["", PREFERENCES_DIR])
def test_a_run_that_goes_on_needs_no_room_for_what_its_checkpoints_hold(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    bench.will_run(CRASHES)
    run = bench.watch(bench.start())
    run_dir = run_dir_of(bench.data_dir, run.run_id)
    checkpoint = write_checkpoint(run_dir / CHECKPOINTS_DIR / stage, 10)
    num_trainable = count_trainable(read_shape(bench.base), load_recipe())
    in_checkpoints, in_adapters = 36 * num_trainable, 12 * num_trainable
    free = 2**29 + in_adapters + in_checkpoints // 2
    usage = type("Usage", (), {"free": free})()
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(RunError, match="GiB are free"):
        resume_run(bench.store, bench.data_dir, run.run_id)
    (checkpoint / "weights.bin").write_bytes(b"0" * (in_checkpoints // 2))
    with pytest.raises(RunError, match="GiB are free"):
        bench.start()
    bench.will_run(TRAINS)
    if not stage:  # a first stage that is over: the second needs room of its own
        (run_dir / SFT_DIR).mkdir()
        with pytest.raises(RunError, match="GiB are free"):
            resume_run(bench.store, bench.data_dir, run.run_id)
        (run_dir / SFT_DIR).rmdir()
    assert bench.watch(resume_run(bench.store, bench.data_dir, run.run_id)).state == "done"


def test_a_moved_data_folder_trains_and_goes_on_with_its_own_rows(bench: Bench) -> None:
    gone = Path(bench.dataset.path)
    here = bench.data_dir / "datasets" / bench.dataset.dataset_id
    here.parent.mkdir(parents=True)
    gone.rename(here)
    bench.will_run(CRASHES)
    run = bench.watch(bench.start())
    run_dir = run_dir_of(bench.data_dir, run.run_id)
    job = read_job(run_dir)
    assert job.dataset_dir == str(here)
    leave_checkpoint(run_dir)
    base = replace(job.base, path="/nowhere/data/models/base")
    adapter = "/nowhere/data/adapters/v0001"
    replace(job, dataset_dir=str(gone), base=base, start_adapter=adapter).write(run_dir)
    bench.will_run(TRAINS)
    bench.watch(resume_run(bench.store, bench.data_dir, run.run_id))
    renewed = read_job(run_dir)
    assert (renewed.dataset_dir, renewed.base.path) == (str(here), str(bench.base))
    assert renewed.start_adapter == str(bench.data_dir / "adapters" / "v0001")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_run_that_was_killed_for_memory_goes_on_with_less(bench: Bench) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    run_dir = run_dir_of(bench.data_dir, run.run_id)
    append_line(run_dir / EVENTS_FILE, {"kind": "memory", "load": {"rows_at_once": 8}})
    append_line(run_dir / EVENTS_FILE, {"kind": "out_of_memory", "rows_at_once": 4})
    leave_checkpoint(run_dir)
    os.kill(mark_of(run).pid, signal.SIGKILL)
    ended = bench.watch(run)
    assert ended.result["error"]["code"] == "killed"
    assert find_resumable(bench.store, bench.data_dir) is not None
    before = read_job(run_dir)
    bench.will_run(TRAINS)
    bench.watch(resume_run(bench.store, bench.data_dir, run.run_id))
    job = read_job(run_dir)
    assert job.recipe == replace(before.recipe, per_device_train_batch_size=2)
    batch = adapt_recipe(job.recipe, 100).effective_batch_size
    assert batch == ended.recipe["effective_batch_size"]
    assert job.memory_corrections == {"cpu": 1.25, "cuda": 1.25}
    told = read_lines(run_dir / EVENTS_FILE)[-1]
    assert (told["kind"], told["code"], told["fewer"]) == ("reason", "after_shortage", 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_run_that_was_killed_before_its_first_checkpoint_teaches_the_next_plan(
    bench: Bench,
) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    os.kill(mark_of(run).pid, signal.SIGKILL)
    ended = bench.watch(run)
    assert ended.result["error"]["code"] == "killed_early"
    assert "start again" in str(ended.error)
    assert find_resumable(bench.store, bench.data_dir) is None
    bench.store.update_run(run.run_id, state="running", ended_at=None)  # as another page saw it
    bench.watch(run)
    again = bench.start()
    corrections = read_job(run_dir_of(bench.data_dir, again.run_id)).memory_corrections
    assert corrections == {"cpu": 1.25, "cuda": 1.25}
    cancel_run(bench.store, bench.data_dir, again.run_id)

    shape, recipe, rows = read_shape(bench.base), load_recipe(), Rows(200, 60)
    first = plan_memory(shape, recipe, rows, Machine("cpu", 2**40, 2**40))
    tight = Machine("cpu", 2**40, first.needed)
    assert plan_memory(shape, recipe, rows, tight).load == first.load
    second = plan_memory(shape, recipe, rows, tight, corrections["cpu"])
    assert second.choice == "smaller_batch"
    assert estimate_memory(shape, recipe, second.load).total < first.estimate.total


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_run_teaches_anew_each_time_it_is_killed(bench: Bench) -> None:
    bench.will_run(SLEEPS)
    run = bench.start()
    leave_checkpoint(run_dir_of(bench.data_dir, run.run_id))
    for _ in range(2):
        os.kill(mark_of(run).pid, signal.SIGKILL)
        assert bench.watch(run).result["error"]["code"] == "killed"
        run = resume_run(bench.store, bench.data_dir, run.run_id)
    job = read_job(run_dir_of(bench.data_dir, run.run_id))
    assert job.memory_corrections["cpu"] == pytest.approx(1.25**2, abs=0.001)
