import subprocess
import sys

import pytest

from tests.chatbot.ui.conftest import ROOT

CODE = """
import asyncio, gradio as gr
from chatbot.ui.no_fetch import forbid_fetching
forbid_fetching()
with gr.Blocks() as demo:
    box = gr.Textbox()
    box.submit(lambda text: text, box, box)
value = {"path": "http://example.com/a.png", "meta": {"_type": "gradio.FileData"}}
try:
    asyncio.run(demo.preprocess_data(demo.fns[0], [value], None))
except gr.Error as error:
    print(error.message)
"""


@pytest.mark.slow
def test_an_address_in_the_place_of_a_file_is_not_fetched() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.strip() == "Addresses are not fetched.", ended.stderr[-500:]
