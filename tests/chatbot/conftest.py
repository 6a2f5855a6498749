"""A real store in a temporary folder, and a service with an engine that follows a script."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatbot.generation import PaceSettings
from chatbot.limits import LimitSettings
from chatbot.service import ChatService, ChatSettings
from feedback_store.store import Store
from tests.scripted_engine import Script, ScriptedEngine

QUICK = PaceSettings(updates_per_s=1000, first_token_timeout_s=0.3, stall_timeout_s=0.3)
OPEN_LIMITS = LimitSettings(num_streams=1000, num_at_once=100, num_per_minute=1000)

MakeService = Callable[..., ChatService]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def make_service(store: Store) -> AsyncIterator[MakeService]:
    """Builds services that are closed at the end: scripts, then settings by name."""
    services: list[ChatService] = []

    def make(
        *scripts: Script, production: Any = None, choose: Any = None, **settings: Any
    ) -> ChatService:
        engine = ScriptedEngine(list(scripts) or [Script()])
        chosen = ChatSettings(**{"pace": QUICK, "limits": OPEN_LIMITS, **settings})
        service = ChatService(store, engine, lambda: production, chosen, choose_adapter=choose)
        services.append(service)
        return service

    yield make
    for service in services:
        await service.close()
