"""What was acknowledged survives kill -9, wherever it falls."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest


def _kill(data_dir: Path, num_kills: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.feedback_store.killed_writers"]
    done = subprocess.run(
        [*command, str(data_dir), str(num_kills)], capture_output=True, text=True, check=True
    )
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _assert_nothing_is_lost(outcome: dict[str, Any]) -> None:
    assert outcome["missing"] == 0
    assert outcome["unsearchable"] == 0
    assert outcome["integrity"] == "ok"
    assert outcome["num_acknowledged"] > 0


def test_nothing_acknowledged_is_lost_in_10_kills(tmp_path: Path) -> None:
    _assert_nothing_is_lost(_kill(tmp_path, 10))


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_1000_kills(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        for outcome in pool.map(_kill, folders, [500, 500]):
            _assert_nothing_is_lost(outcome)
