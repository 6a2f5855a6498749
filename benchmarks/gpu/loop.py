"""The whole loop on the starter model, by the functions of benchmarks/loop.py."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Mapping
from typing import Any

import httpx

from benchmarks import loop
from benchmarks.gpu.context import Context
from benchmarks.gpu.sections import Cell


def measure(_cell: Cell, context: Context) -> Mapping[str, Any]:
    """`make run`, the first answer, and a retrain; a dry run ends with the first answer."""
    home = context.work / "loop"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    data_dir = home / "data"
    if not context.is_dry:
        loop.import_examples(data_dir, home)
    began = time.monotonic()
    with loop.make_run(data_dir, _free_port()) as url:
        page = loop.wait_for(lambda: "chat-input" in httpx.get(f"{url}/config", timeout=30).text)
        first = loop.wait_for(lambda: loop.answer(url))
        figures = {"page_s": page - began, "first_answer_s": first - began}
        if not context.is_dry:
            figures["retrain_s"] = loop.measure_retrain(url, data_dir)
    if not context.is_dry:
        figures |= loop.read_validity(data_dir)
    return figures


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
