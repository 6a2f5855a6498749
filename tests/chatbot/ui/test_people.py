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
    assert told["num_for_admins"] >= 4
    assert told["opened"] == []


@pytest.mark.slow
def test_a_page_with_an_event_that_declares_no_role_does_not_start() -> None:
    code = (
        "import gradio as gr; from chatbot.ui.people import check_declared, needs\n"
        "with gr.Blocks() as demo: gr.Button().click(ROLE)\n"
        "check_declared(demo, is_studio=False)"
    )
    for function, words in (
        ("lambda: None", "declares no role"),
        ("needs('admin')(lambda: None)", "stands on the public page"),
    ):
        ended = subprocess.run(
            [sys.executable, "-c", code.replace("ROLE", function)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert words in ended.stderr
