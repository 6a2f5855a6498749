"""Calls every function behind the studio for somebody without a role, and then for a curator, and
prints as JSON which of them did something that the role may not.

A process of its own: Gradio leaves loops and sockets open on import.
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

from chatbot.identity import Role
from chatbot.service import ChatService
from chatbot.ui.layout import build_studio
from chatbot.ui.parts import Parts
from chatbot.ui.people import needed_role
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
        roles: list[Role | None] = [None]
        parts = Parts(service, store, engine.status, learning, lambda _: ("p_1", roles[-1]))
        functions = [entry.fn for entry in build_studio(parts).fns.values() if entry.fn]
        opened = [f.__qualname__ for f in functions if await call(f)]
        roles.append("curator")
        for_admins = [f for f in functions if needed_role(f) == "admin"]
        opened += [f.__qualname__ for f in for_admins if await call(f)]
        await service.close()
    told = {"num_functions": len(functions), "num_for_admins": len(for_admins)}
    print(json.dumps({**told, "opened": sorted(set(opened))}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
