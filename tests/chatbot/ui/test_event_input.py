"""Whatever an event brings, the page answers with a sentence or not at all: a browser shows a
traceback as a mere "Error", and the log fills with it.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from traceback import extract_tb
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from starlette.requests import Request

from chatbot.limits import LimitSettings
from chatbot.service import ChatService, ChatSettings
from chatbot.ui.event_input import read_form, read_number, read_text
from chatbot.ui.layout import build_public, build_studio
from chatbot.ui.parts import Parts, UiSettings
from feedback_store.store import Store
from tests.chatbot.ui.page_server import add_rated_turns
from tests.chatbot.ui.scripted_learning import ScriptedLearning, add_version
from tests.scripted_engine import ScriptedEngine

OURS = Path(__file__).parents[3] / "chatbot"  # what Gradio refuses itself does not come so far
UI = OURS / "ui"
BAD: tuple[Any, ...] = (
    *(None, [], ["a", 1], {"a": 1}, 7, -1.5, True, float("nan")),
    *("", "가" * 100_000, "9" * 5_000, "9" * 20, "\ud800", "\x00", "없음"),
)
OF_CHAT = ("ChatTab.", "ArenaTab.")
CHAT_FILES = ("chat_tab.py", "chat_feedback.py", "arena_tab.py")


class StillLearning(ScriptedLearning):
    """Begins no thread: it would outlive the store of the test."""

    def start_retrain(self, recipe: str, *, actor: str, **how: Any) -> None:
        pass

    def resume_retrain(self, *, actor: str) -> None:
        pass


def words_of(names: tuple[str, ...] | None = None) -> list[str]:
    """Every word that may choose what an event does."""
    words: set[object] = set()
    for path in UI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if names is not None and path.name not in names:
                continue
            if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
                words.add(node.value.value)
            if isinstance(node, ast.Compare) and "action" in ast.unparse(node.left):
                words |= {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
    return sorted(word for word in words if isinstance(word, str) and word not in ("", "action"))


@cache
def keys_of_events() -> list[str]:
    text = "".join(path.read_text("utf-8") for path in UI.glob("*.py"))
    found = re.findall(r'(?:data|form|event_data\(event\))(?:\.get\(|, )"(\w[\w-]*)"', text)
    return sorted(set(found) - {"action"})


@pytest.fixture
async def parts(store: Store) -> Parts:
    add_rated_turns(store, 3)
    learning = StillLearning(store)
    store.set_alias("production", add_version(store), actor="retrain", reason="passed")
    engine = ScriptedEngine()
    limits = LimitSettings(num_per_minute=100_000)
    chat = ChatService(store, engine, lambda: None, ChatSettings(limits=limits))
    settings = UiSettings(public_arena=True)
    return Parts(chat, store, engine.status, learning, lambda _: ("p_seed", "admin"), settings)


async def call(demo: gr.Blocks, event: Any, value: Any, data: Any) -> None:
    """As a request would: through what Gradio itself makes of the values."""
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    request = gr.Request(request=Request(scope), session_hash="s")
    state, iterator, is_generating = SessionState(demo), None, True
    while is_generating:
        told = await demo.process_api(
            event,
            [value] * len(event.inputs),
            state=state,
            request=request,
            iterator=iterator,
            session_hash="s",
            event_id="e",
            event_data=gr.EventData(None, data),
        )
        iterator, is_generating = told["iterator"], told["is_generating"]


def takes_data(event: Any) -> bool:
    parameters = inspect.signature(event.fn).parameters.values()
    return any("EventData" in str(parameter.annotation) for parameter in parameters)


def events_of(demo: gr.Blocks, *, is_chat: bool) -> Iterator[Any]:
    for event in demo.fns.values():
        if event.fn and event.fn.__qualname__.startswith(OF_CHAT) == is_chat:
            yield event


async def break_events(demo: gr.Blocks, tries: list[tuple[Any, Any]], *, is_chat: bool) -> set[str]:
    """Which events fail otherwise than with a sentence."""
    broken = set()
    plain = [(value, None) for value in BAD]
    for event in events_of(demo, is_chat=is_chat):
        for value, data in tries if takes_data(event) else plain:
            try:
                await call(demo, event, value, data)
            except gr.Error:  # a sentence
                continue
            except Exception as error:  # noqa: BLE001
                frames = extract_tb(error.__traceback__)
                if any(frame.filename.startswith(str(OURS)) for frame in frames):
                    broken.add(f"{event.fn.__qualname__}: {error!r:.200}")
    return broken


def make_data(action: str, value: Any, **known: str) -> dict[str, Any]:
    return {**dict.fromkeys(keys_of_events(), value), "action": action, **known}


async def test_no_value_breaks_the_chat_its_search_or_the_arena(parts: Parts) -> None:
    words = enumerate(words_of(CHAT_FILES))
    tries = [(None, make_data(word, value)) for at, word in words for value in BAD[at % 3 :: 3]]
    own = [
        (None, make_data(word, value, turn="1"))
        for word, value in product(("edit-save", "reasons"), BAD)
    ]
    whole = [(None, value) for value in BAD]
    assert await break_events(build_public(parts), tries + own + whole, is_chat=True) == set()


async def test_no_value_breaks_the_other_tabs_of_the_studio(parts: Parts) -> None:
    tries = [
        (
            None,
            make_data(word, BAD[at % len(BAD)], **({"id": "1", "example": "1"} if at % 2 else {})),
        )
        for at, word in enumerate(words_of())
    ]
    assert await break_events(build_studio(parts), tries, is_chat=False) == set()


@pytest.mark.parametrize("value", BAD)
def test_what_is_no_text_number_or_form_is_none(value: Any) -> None:
    data = {"form": value, "text": value, "turn": value}
    text = read_text(data, "text")
    assert "\ufffd" in text or text.encode() == (value.encode() if isinstance(value, str) else b"")
    assert (text != "") == (isinstance(value, str) and value != "")
    assert read_number(data, "turn") == (7 if value == 7 and value is not True else None)
    assert read_form(data) == (value if isinstance(value, dict) else {})
    assert read_text({}, "text") == ""


def test_events_are_read_in_one_place_only() -> None:
    """What is turned into text elsewhere would reach the store uncleaned."""
    unread = re.compile(r'(?:str|int|float)\((?:data|form)(?:\.get\(|\[)|data\.get\("form"\)')
    found = {path.name for path in UI.glob("*.py") if unread.search(path.read_text("utf-8"))}
    assert found == {"event_input.py"}
