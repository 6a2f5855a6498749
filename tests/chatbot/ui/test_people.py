import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chatbot.ui.conftest import ROOT


@pytest.mark.slow
def test_no_function_of_the_studio_works_for_a_stranger_whatever_the_browser_hides(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.chatbot.ui.stranger", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["num_functions"] > 15
    # The header tells only whether the engine is ready.
    assert told["opened"] == ["Header.on_load", "Header.on_tick"]
