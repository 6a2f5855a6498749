"""Training runs: start one as a process of its own, watch it, cancel it, resume it, and find it
again after a crash of the app or of the run.

The process writes files into data/runs/<id>/ and nothing else; only this side writes the store.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

from chatbot.base_models import BaseModel
from feedback_store.records import Dataset, Run, RunState
from feedback_store.store import Store
from finetune import stall
from finetune.card_lending import reclaim_card
from finetune.checkpoints import find_checkpoint
from finetune.job import (
    ADAPTER_DIR,
    ALIVE_FILE,
    CHECKPOINTS_DIR,
    EVENTS_FILE,
    LOG_FILE,
    METRICS_FILE,
    PREFERENCES_DIR,
    PREFERENCES_FILE,
    RESULT_FILE,
    SAMPLES_FILE,
)
from finetune.memory_history import remember_memory, remember_shortage
from finetune.preferences import write_preferences
from finetune.recipe import Recipe, adapt_recipe
from finetune.run_files import current_time, read_json
from finetune.run_order import (
    KILLED,
    KILLED_EARLY,
    RunError,
    RunSettings,
    name_of,
    renew_order,
    run_dir_of,
    write_order,
)
from finetune.run_process import ProcessMark, end_process, exit_code, is_alive, spawn
from finetune.run_progress import RunEvent, RunLog, RunProgress, SampleAnswer

__all__ = [
    "RunError", "RunEvent", "RunProgress", "RunSettings", "SampleAnswer", "cancel_run",
    "find_resumable", "find_running", "forget_checkpoints", "get_run", "progress",
    "recover_runs", "resume_run", "run_dir_of", "start_run", "watch_run",
]  # fmt: skip

_CANCEL_MARK: Final = "cancel"
_STALL_MARK: Final = "stalled"
_STUCK_MARK: Final = "stuck"  # holds for how many minutes
_SIGNS: Final = (METRICS_FILE, EVENTS_FILE, SAMPLES_FILE, ALIVE_FILE)
_SHORTAGE_MARK: Final = "shortage"  # its end by force has been learnt from
_COMPARISON_MARK: Final = "comparison"
_HOPELESS: Final = ("diverged", "plateau", "not_a_number")  # it would come to the same again
_OPEN: Final[tuple[RunState, ...]] = ("queued", "running")
_POLL_S: Final = 0.3
_STARTING: Final = threading.Lock()


def start_run(
    store: Store,
    data_dir: Path,
    dataset: Dataset,
    recipe: Recipe,
    base_model: str | BaseModel,
    settings: RunSettings | None = None,
) -> Run:
    """Start training on a dataset in a process of its own; returns as soon as it runs."""
    settings = settings or RunSettings()
    adapted = adapt_recipe(recipe, dataset.num_train)
    with _STARTING:
        _refuse_second(store)
        job = write_order(store, dataset, recipe, base_model, settings)
        run_dir = run_dir_of(data_dir, job.run_id)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_removing_unless_begun(run_dir))
            if recipe.kind != "sft":
                write_preferences(store, dataset, recipe.kind, run_dir / PREFERENCES_FILE)
            if settings.is_comparison:
                (run_dir / _COMPARISON_MARK).touch()
            # The process first: a row without one would look like a run that died.
            mark = stack.enter_context(_spawning(run_dir))
            return store.add_run(
                Run(
                    run_id=job.run_id,
                    kind=recipe.kind,
                    state="running",
                    dataset_id=dataset.dataset_id,
                    base_model=name_of(base_model),
                    recipe=adapted.to_dict(),
                    pid=mark.pid,
                    process_started_at=mark.started_at,
                    started_at=current_time(),
                )
            )


@contextlib.contextmanager
def _spawning(run_dir: Path) -> Generator[ProcessMark]:
    """A training process, ended again where it cannot be written down: nobody would find it."""
    mark = spawn(run_dir)
    try:
        yield mark
    except BaseException:
        end_process(mark, grace_s=0.0)  # it has done nothing yet
        raise


def _refuse_second(store: Store) -> None:
    running = find_running(store)
    if running is not None:
        raise RunError(
            "already_running",
            f"Run {running.run_id} is training. Wait for its end, or cancel it.",
        )


@contextlib.contextmanager
def _removing_unless_begun(run_dir: Path) -> Generator[None]:
    """No folder stays of which no run came."""
    try:
        yield
    except BaseException:
        shutil.rmtree(run_dir, ignore_errors=True)
        raise


def get_run(store: Store, run_id: str) -> Run:
    """The record of a run; raises unknown_run."""
    run = store.get_run(run_id)
    if run is None:
        raise RunError("unknown_run", f"There is no run {run_id[:80]!r}.")
    return run


def _mark_of(run: Run) -> ProcessMark | None:
    if run.pid is None or run.process_started_at is None:
        return None
    return ProcessMark(run.pid, run.process_started_at)


def find_running(store: Store) -> Run | None:
    """The run whose process lives now, if any; a reloaded page finds its run by this."""
    for run in store.list_runs(limit=50):
        mark = _mark_of(run)
        if run.state in _OPEN and mark is not None and is_alive(mark):
            return run
    return None


def watch_run(store: Store, data_dir: Path, run_id: str) -> Generator[RunProgress]:
    """Follow a run to its end; yields when something changed, last of all its end state.

    Closing the iterator leaves the run alone.
    """
    run = get_run(store, run_id)
    run_dir = run_dir_of(data_dir, run_id)
    log = RunLog(run_id, run_dir)
    shown: RunProgress | None = None
    watch = stall.StallWatch(run.pid or 0)
    progress_watch = stall.ProgressWatch([run_dir / name for name in _SIGNS])
    while True:
        mark = _mark_of(run)
        if mark is not None and watch.is_stalled():
            (run_dir / _STALL_MARK).touch()
            end_process(mark)
        elif mark is not None and progress_watch.is_stuck():
            minutes = round(progress_watch.patience_s / 60)
            (run_dir / _STUCK_MARK).write_text(str(minutes), encoding="ascii")
            end_process(mark)
        is_over = run.state not in _OPEN or mark is None or not is_alive(mark)
        figures = log.refresh()  # after the look at the process, so that nothing is missed
        if figures:
            store.add_run_metrics(figures)
        if is_over:
            yield log.progress(_settle(store, data_dir, run).state)
            return
        current = log.progress("running")
        if current != shown:
            shown = current
            yield current
        time.sleep(_POLL_S)
        run = get_run(store, run_id)


def progress(store: Store, data_dir: Path, run_id: str) -> RunProgress:
    """Where a run stands now; also brings the store up to date when its process has ended."""
    run = get_run(store, run_id)
    mark = _mark_of(run)
    if run.state in _OPEN and (mark is None or not is_alive(mark)):
        run = _settle(store, data_dir, run)
    log = RunLog(run_id, run_dir_of(data_dir, run_id))
    log.refresh()
    return log.progress(run.state)


def _settle(store: Store, data_dir: Path, run: Run) -> Run:
    """Write down how an ended process ended; again is no error."""
    current = get_run(store, run.run_id)
    if current.state not in _OPEN:
        return current
    run_dir = run_dir_of(data_dir, run.run_id)
    result = read_json(run_dir / RESULT_FILE) or {}
    state: RunState
    error: str | None
    if result.get("state") in ("done", "failed"):
        state, error = result["state"], (result.get("error") or {}).get("message")
    elif (run_dir / _CANCEL_MARK).exists():
        state, error = "cancelled", None
    else:
        code, error = _explain_death(run, data_dir)
        state = "interrupted"
        if code:
            result = {"error": {"code": code, "message": error}}
        if code in (KILLED, KILLED_EARLY):
            _learn_from_kill(run, data_dir)
    figures = RunLog(run.run_id, run_dir).refresh()
    if figures:
        store.add_run_metrics(figures)
    remember_memory(data_dir, run.base_model, result)
    return store.update_run(
        run.run_id, state=state, error=error, result=result, ended_at=current_time()
    )


def _learn_from_kill(run: Run, data_dir: Path) -> None:
    """Once for each end, however many pages see it; it could not say itself what it took."""
    with contextlib.suppress(OSError):  # learnt already, or the disk is full: the end must be kept
        (run_dir_of(data_dir, run.run_id) / _SHORTAGE_MARK).touch(exist_ok=False)
        remember_shortage(data_dir, run.base_model)


def _explain_death(run: Run, data_dir: Path) -> tuple[str, str]:
    """A code where the cause is known, and a sentence."""
    run_dir, can_go_on = run_dir_of(data_dir, run.run_id), _has_checkpoint(data_dir, run.run_id)
    again = "It has no checkpoint yet: start again."
    if can_go_on:
        again = "Resume the run to go on from its last checkpoint."
    if (run_dir / _STALL_MARK).exists():
        minutes = round(stall.PATIENCE_S / 60)
        code = "stalled" if can_go_on else "stalled_early"
        return code, f"The training did nothing for {minutes} minutes and was ended. {again}"
    if (run_dir / _STUCK_MARK).exists():
        minutes_text = (run_dir / _STUCK_MARK).read_text(encoding="ascii")
        code = "stuck" if can_go_on else "stuck_early"
        what = f"The training computed for {minutes_text} minutes without finishing one batch"
        return code, f"{what} and was ended. {again}"
    mark = _mark_of(run)
    if mark is not None and exit_code(mark) == -9:
        return _explain_kill(can_go_on=can_go_on)
    with contextlib.suppress(OSError):
        lines = (run_dir / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        if lines:
            return "", f"The training ended without a result. It last said: {lines[-1][:300]}"
    return "", f"The training ended without a result. {again}"


def _explain_kill(*, can_go_on: bool) -> tuple[str, str]:
    what = "The system ended the training by force, most likely for want of memory. Close other "
    if can_go_on:
        return KILLED, f"{what}programs and resume the run: it goes on with fewer rows at once."
    return KILLED_EARLY, f"{what}programs and start again: the next plan leaves more room."


def cancel_run(store: Store, data_dir: Path, run_id: str) -> Run:
    """End a run within ten seconds; a run that has ended stays as it ended."""
    run = get_run(store, run_id)
    if run.state not in _OPEN:
        return run
    (run_dir_of(data_dir, run_id) / _CANCEL_MARK).touch()
    mark = _mark_of(run)
    if mark is not None:
        end_process(mark)
    return _settle(store, data_dir, run)


def recover_runs(store: Store, data_dir: Path) -> list[Run]:
    """At the start of the app: what its last life left behind. Runs that still train go on, unless
    they hold the card that the model server needs now; ended ones get their state; checkpoints
    that nobody goes on from are deleted. Returns the runs that were open, as they are now.
    """
    found = []
    published = {adapter.run_id for adapter in store.list_adapters()}
    for run in store.list_runs(limit=200):
        if run.run_id in published:
            forget_checkpoints(data_dir, run.run_id)
        if run.state not in _OPEN:
            continue
        mark = _mark_of(run)
        is_gone = mark is None or not is_alive(mark)
        if mark is not None and not is_gone and reclaim_card(run_dir_of(data_dir, run.run_id)):
            end_process(mark)
            is_gone = True
        found.append(_settle(store, data_dir, run) if is_gone else run)
    return found


def forget_checkpoints(data_dir: Path, run_id: str) -> None:
    """Of a run whose adapter is safe: they are most of what a run leaves on the disk."""
    shutil.rmtree(run_dir_of(data_dir, run_id) / CHECKPOINTS_DIR, ignore_errors=True)


def find_resumable(store: Store, data_dir: Path) -> Run | None:
    """The newest run that was to become a version, where it still trains, broke off with a
    checkpoint, or was trained and never became one; runs of a comparison do not count.
    """
    newest = next((run for run in store.list_runs(50) if not _is_comparison(data_dir, run)), None)
    if newest is None:
        return None
    if newest.state in _OPEN:
        running = find_running(store)
        return newest if running and running.run_id == newest.run_id else None
    if newest.state == "done":
        has_version = any(item.run_id == newest.run_id for item in store.list_adapters())
        is_there = (run_dir_of(data_dir, newest.run_id) / ADAPTER_DIR).is_dir()
        return newest if is_there and not has_version else None
    code = (newest.result.get("error") or {}).get("code") if newest.result else None
    is_hopeless = code in _HOPELESS
    return newest if _has_checkpoint(data_dir, newest.run_id) and not is_hopeless else None


def _is_comparison(data_dir: Path, run: Run) -> bool:
    return (run_dir_of(data_dir, run.run_id) / _COMPARISON_MARK).exists()


def _has_checkpoint(data_dir: Path, run_id: str) -> bool:
    folder = run_dir_of(data_dir, run_id) / CHECKPOINTS_DIR
    stages = (folder, folder / PREFERENCES_DIR)
    return any(find_checkpoint(stage) is not None for stage in stages)


def resume_run(
    store: Store, data_dir: Path, run_id: str, settings: RunSettings | None = None
) -> Run:
    """Go on with an interrupted, failed or cancelled run from its last checkpoint."""
    run = get_run(store, run_id)
    run_dir = run_dir_of(data_dir, run_id)
    if run.state == "done" or not _has_checkpoint(data_dir, run_id):
        raise RunError(
            "not_resumable",
            f"Run {run_id} is {run.state} and has no checkpoint to go on from. Start a new run.",
        )
    with _STARTING:
        _refuse_second(store)
        renew_order(store, run, settings or RunSettings())
        for name in (RESULT_FILE, _CANCEL_MARK, _STALL_MARK, _STUCK_MARK, _SHORTAGE_MARK):
            (run_dir / name).unlink(missing_ok=True)
        with _spawning(run_dir) as mark:
            return store.update_run(
                run_id,
                state="running",
                pid=mark.pid,
                process_started_at=mark.started_at,
                started_at=current_time(),
                ended_at=None,
                error=None,
            )
