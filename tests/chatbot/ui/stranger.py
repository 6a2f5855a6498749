"""Calls every function behind the studio for somebody without a role, and prints as JSON which of
them did something. A process of its own: Gradio leaves loops and sockets open on import.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import types
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request

from chatbot.service import ChatService
from chatbot.ui.layout import build_studio
from chatbot.ui.parts import Parts
from feedback_store.store import Store
from tests.chatbot.ui.scripted_learning import ScriptedLearning
from tests.scripted_engine import ScriptedEngine

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}


async def call(function: Any) -> bool:
    """Whether the function did anything; called as Gradio would."""
    given: dict[str, Any] = {
        "request": gr.Request(Request(SCOPE)),
        "event": gr.EventData(None, {"action": "accept"}),
    }
    names = inspect.signature(function).parameters
    try:
        result = function(**{name: given.get(name) for name in names})
        if isinstance(result, types.AsyncGeneratorType):
            await anext(result)
        elif inspect.isawaitable(result):
            await result
    except gr.Error:
        return False
    return True


async def main(folder: Path) -> None:
    with Store.open(folder) as store:
        engine = ScriptedEngine()
        service = ChatService(store, engine, lambda: None)
        learning = ScriptedLearning(store)
        parts = Parts(service, store, engine.status, learning, lambda _: ("p_stranger", False))
        functions = [entry.fn for entry in build_studio(parts).fns.values() if entry.fn]
        opened = [
            f"{type(function.__self__).__name__}.{function.__name__}"
            for function in functions
            if await call(function)
        ]
        await service.close()
    print(json.dumps({"num_functions": len(functions), "opened": sorted(set(opened))}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
