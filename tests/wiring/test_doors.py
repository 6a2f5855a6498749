"""Nobody does or sees more than their role may, whichever way they come."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What an admin could do in the same try: the tries are real ones.
REAL = {
    "AdaptersTab.on_act override",
    "AdaptersTab.on_act promote",
    "AdaptersTab.on_act retire",
    "AdaptersTab.on_act start_trial",
    "AdaptersTab.on_act stop_trial",
    "CurateTab.on_act accept",
    "CurateTab.on_act bulk-go",
    "DatasetsPanel.on_act freeze",
    "FinetuneTab.on_act cancel",
    "FinetuneTab.on_act start",
    "ImportPanel.on_starter",
}


@pytest.mark.slow
def test_every_event_and_route_keeps_to_the_role_in_every_way_of_calling(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.wiring.doors", str(tmp_path), "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["leaked"] == []
    assert told["broken"] == []
    assert told["num_events"] > 35
    assert told["entries_tried"] > 4000
    assert set(told["effects"]) >= REAL
