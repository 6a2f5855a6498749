"""A trial through the whole application: the store, the learning side, the chat, a vLLM server that
speaks the same wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from chatbot.service import Finished, TurnRequest
from chatbot.themes import BaseInfo
from feedback_store.records import Turn
from feedback_store.store import Store
from settings import Settings
from tests.chatbot.engines.fake_openai import FakeOpenAI
from tests.finetune.published import publish
from wiring.engines import find_base_model
from wiring.server import Application


@asynccontextmanager
async def running(data_dir: Path, store: Store, url: str) -> AsyncIterator[Application]:
    settings = Settings(data_dir=data_dir, vllm_urls=(url,))
    application = Application(settings, store, find_base_model(settings), lambda _: None)
    await application.runtime.start()
    try:
        await application.runtime.wait_settled(30)
        yield application
    finally:
        await application.chat.close()
        await application.runtime.stop()


async def ask(application: Application, person: str, conversation_id: str | None = None) -> Turn:
    request = TurnRequest(
        person_id=person,
        origin="studio",
        lang="ko",
        mode="base_info",
        base_info=BaseInfo("city", "office", "VEGAN"),
        conversation_id=conversation_id,
    )
    async with aclosing(application.chat.answer(request)) as events:
        async for event in events:
            if isinstance(event, Finished):
                return event.turn
    raise AssertionError("the answer did not end")


async def ask_until_both(application: Application) -> list[Turn]:
    """New conversations until both versions have answered; which does, is a hash of a random id."""
    turns: list[Turn] = []
    while {turn.adapter for turn in turns} != {"v0001", "v0002"}:
        turns.append(await ask(application, f"p{len(turns)}"))
        assert len(turns) < 40
    return turns


async def test_conversations_keep_their_version_through_a_restart_of_everything(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    with FakeOpenAI() as fake, Store.open(data_dir) as store:
        for run_id in ("r1", "r2"):
            publish(store, run_id)
        async with running(data_dir, store, fake.url) as application:
            learning = application.runtime.learning
            await asyncio.to_thread(learning.promote, "v0001", actor="admin", reason="begin")
            await asyncio.to_thread(
                learning.start_canary, "v0002", 0.5, actor="admin", reason="let us see"
            )
            turns = await ask_until_both(application)
            before = {turn.conversation_id: turn.adapter for turn in turns}
    with FakeOpenAI() as fake, Store.open(data_dir) as store:
        async with running(data_dir, store, fake.url) as application:
            again = [
                await ask(application, f"p{number}", turn.conversation_id)
                for number, turn in enumerate(turns)
            ]
            assert {turn.conversation_id: turn.adapter for turn in again} == before
            learning = application.runtime.learning
            await asyncio.to_thread(learning.stop_canary, actor="admin", reason="seen enough")
            after = [
                await ask(application, f"p{number}", turn.conversation_id)
                for number, turn in enumerate(turns)
            ]
            assert {turn.adapter for turn in after} == {"v0001"}
