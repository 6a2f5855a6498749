"""Writers that are killed with SIGKILL while they write, over and over on one data folder.

Run as a program, because it forks: python -m tests.feedback_store.killed_writers DIR ROUNDS.
Prints {"num_acknowledged", "missing", "integrity", "num_kills"} as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import sqlite_utils  # noqa: F401 - once here, not in every child that migrates

from feedback_store.database import DATABASE_NAME
from feedback_store.records import NewFeedback
from feedback_store.sqlite import connect
from feedback_store.store import Store
from tests.feedback_store import records

NUM_THREADS = 4
MAX_LIFE_S = 0.05


def _write_until_killed(data_dir: Path, acknowledged: int, round_number: int) -> None:
    store = Store.open(data_dir)
    os.write(acknowledged, b"opened\n")
    with suppress(Exception):  # all rounds but the first find it there
        store.add_conversation(records.conversation())

    def write(thread: int) -> None:
        for count in range(1_000_000):
            text = f"{round_number}-{thread}-{count}"
            turn = store.add_turn(records.turn(user_text=text, recommendation=None, messages=()))
            os.write(acknowledged, f"{turn.turn_id} {text}\n".encode())
            store.set_feedback(NewFeedback(turn_id=turn.turn_id, person_id="ann", rating="like"))

    for thread in range(NUM_THREADS):
        threading.Thread(target=write, args=(thread,)).start()


def _run_round(data_dir: Path, round_number: int, rng: random.Random) -> list[str]:
    """Fork a writer, kill it at a random moment; the lines that it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _write_until_killed(data_dir, writing, round_number)
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, encoding="utf-8") as lines:  # noqa: PTH123 - a descriptor, no path
        if rng.random() < 0.8:
            lines.readline()  # the others may die while they open
        time.sleep(rng.uniform(0, MAX_LIFE_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [line for line in lines.read().splitlines() if " " in line]


def run(data_dir: Path, num_rounds: int) -> dict[str, object]:
    """All rounds, then what is missing and whether the file is sound."""
    rng = random.Random(20261121)
    acknowledged: dict[int, str] = {}
    for number in range(num_rounds):
        for line in _run_round(data_dir, number, rng):
            turn_id, text = line.split(" ")
            acknowledged[int(turn_id)] = text
    with Store.open(data_dir) as store:
        searchable = store.search_turns(limit=1).total
    with closing(connect(data_dir / DATABASE_NAME)) as connection:
        integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        kept = dict(connection.execute("SELECT turn_id, user_text FROM turns").fetchall())
    missing = sum(kept.get(turn_id) != text for turn_id, text in acknowledged.items())
    return {
        "num_kills": num_rounds,
        "num_acknowledged": len(acknowledged),
        "missing": missing,
        "integrity": integrity,
        "unsearchable": len(kept) - searchable,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]))))
