"""Every function behind the studio asks who is there, whatever the browser hides."""

import inspect
import types
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Gradio's own, on import
]


@pytest.fixture
def studio_functions(store: Any, make_service: Any) -> Iterator[list[Any]]:
    from chatbot.ui.layout import build_studio
    from chatbot.ui.parts import Parts
    from tests.chatbot.ui.scripted_learning import ScriptedLearning

    service = make_service()
    parts = Parts(
        service,
        store,
        service.engine.status,
        ScriptedLearning(store),
        lambda _request: ("p_stranger", False),
    )
    demo = build_studio(parts)
    yield [block_fn.fn for block_fn in demo.fns.values() if block_fn.fn]


async def call(function: Any) -> None:
    """As Gradio would, on behalf of a stranger."""
    import gradio as gr
    from starlette.requests import Request

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    given: dict[str, Any] = {
        "request": gr.Request(Request(scope)),
        "event": gr.EventData(None, {"action": "accept"}),
    }
    names = inspect.signature(function).parameters
    result = function(**{name: given.get(name) for name in names})
    if isinstance(result, types.AsyncGeneratorType):
        await anext(result)
    elif inspect.isawaitable(result):
        await result


async def test_no_function_of_the_studio_works_for_a_stranger(
    studio_functions: list[Any],
) -> None:
    import gradio as gr

    open_to_all = []
    for function in studio_functions:
        try:
            await call(function)
        except gr.Error:
            continue
        open_to_all.append(f"{function.__self__.__class__.__name__}.{function.__name__}")
    assert len(studio_functions) > 15
    # The header tells only whether the engine is ready.
    assert set(open_to_all) == {"Header.on_load", "Header.on_tick"}
