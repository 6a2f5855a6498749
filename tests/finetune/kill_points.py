"""A program that kills itself: publish, load, trial, promote, roll back and reconcile are stopped
by SIGKILL at every n-th line, and what is left must hold the invariants.

    python -m tests.finetune.kill_points WORK_DIR FIRST STEP

Every attempt is a forked process of its own, so that only this single-threaded parent lives on.
Prints one line per broken invariant, then the number of points tried.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from feedback_store.store import Store
from finetune.adapter_folder import verify_adapter
from finetune.canary import CanarySettings, find_trial, start_canary, step_canary
from finetune.registry import PRODUCTION, list_versions, production_version, publish_adapter
from finetune.swap import Promotion, promote_live, reconcile, roll_back_live
from tests.finetune.fake_serving import FakeServing
from tests.finetune.published import PASSED, add_run, folders, make_report, publish

TRACED = (
    *("finetune/registry.py", "finetune/adapter_folder.py"),
    *("finetune/swap.py", "finetune/canary.py"),
)
TRACED_STORE = ("feedback_store/adapters.py",)
BY_LOOP = Promotion("loop", "passed the gate")


def prepare(data_dir: Path) -> None:
    """One version answers, and a second run waits to be published."""
    with Store.open(data_dir) as store:
        promote_live(store, FakeServing(), publish(store, "r1").version, BY_LOOP)
        add_run(store, "r2")


def work(data_dir: Path) -> None:
    """Everything that changes which adapter answers."""
    with Store.open(data_dir) as store:
        serving = FakeServing()
        reconcile(store, data_dir, serving, is_start=True)
        run = store.get_run("r2")
        assert run is not None
        adapter = publish_adapter(store, data_dir, run, make_report(), PASSED)
        start_canary(store, serving, adapter.version, 0.2, BY_LOOP)
        promote_live(store, serving, adapter.version, BY_LOOP)
        step_canary(store, serving, CanarySettings())  # ends the trial of what is production now
        roll_back_live(store, serving, "admin")
        reconcile(store, data_dir, serving)


def check(data_dir: Path) -> None:
    """The invariants, whatever happened before."""
    with Store.open(data_dir) as store:
        serving = FakeServing()
        found = reconcile(store, data_dir, serving, is_start=True)
        versions = [row.adapter.version for row in list_versions(store)]
        assert folders(data_dir) == sorted(versions), "folders and rows differ"
        for row in list_versions(store):
            verify_adapter(Path(row.adapter.path))
        production = production_version(store)
        assert production in ("v0001", "v0002"), f"{production} answers"
        assert production in serving.loaded(), "production is not loaded"
        assert store.list_alias_events(PRODUCTION)[0].to_version == production
        trial = find_trial(store)
        assert trial is None or (trial.version, trial.share) == ("v0002", 0.2), f"{trial} runs"
        assert trial is None or trial.version in serving.loaded(), "the trial is not loaded"
        assert not any("cannot answer" in note for note in found.notes), found.notes
        assert reconcile(store, data_dir, serving).notes == (), "the second reconcile did more"
        assert publish(store, "r3").version not in versions


def kill_at(point: int) -> None:
    """SIGKILL this process before its point-th traced line, in whichever thread that falls."""
    lines_left = point

    def on_line(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines_left
        if event == "line":
            lines_left -= 1
            if lines_left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    def on_call(frame: FrameType, event: str, arg: object) -> Any:
        return on_line if frame.f_code.co_filename.endswith(TRACED + TRACED_STORE) else None

    threading.settrace(on_call)
    sys.settrace(on_call)


def in_child(action: Callable[[], None]) -> int:
    """Run in a forked process; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        action()
    except BaseException:  # noqa: BLE001 - the parent reads the exit code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def try_point(data_dir: Path, point: int) -> bool:
    """Kill there and check; False when the work ended before that point."""

    def killed() -> None:
        kill_at(point)
        work(data_dir)

    ended = in_child(killed)
    if ended not in (0, -signal.SIGKILL):
        print(f"point {point}: the work failed")
    if in_child(lambda: check(data_dir)):
        print(f"point {point}: an invariant is broken")
    return ended != 0


def main() -> None:
    """Try the points one after the other until the work survives."""
    root, first, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    template = root / "template"
    if in_child(lambda: prepare(template)):
        print("the preparation failed")
        return
    point, num_points, goes_on = first, 0, True
    while goes_on:
        data_dir = root / "data"
        shutil.copytree(template, data_dir)
        goes_on = try_point(data_dir, point)
        shutil.rmtree(data_dir)
        point, num_points = point + step, num_points + 1
    print(f"{num_points} points")


if __name__ == "__main__":
    main()
