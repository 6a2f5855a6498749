"""The server fetches no address for anybody.

Gradio downloads whatever http address stands in the place of a file in the data of any event, a
text box included. Its own download checks for private addresses; ours does not happen at all.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio import processing_utils


async def _refuse(*_asked: Any, **_named: Any) -> Any:
    raise gr.Error("Addresses are not fetched.", print_exception=False)


def forbid_fetching() -> None:
    """From now on no event makes this process fetch an address."""
    processing_utils.async_ssrf_protected_get = _refuse
    processing_utils.async_ssrf_protected_download = _refuse
