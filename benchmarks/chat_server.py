"""Our application as a process of its own for benchmarks/chat.py: the API alone or with the page,
over a running vLLM or over the scripted engine. Prints one JSON line when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import uvicorn
from fastapi import FastAPI

from chatbot.api import build_api
from chatbot.engines.base import Engine, Sampling
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import VllmSettings
from chatbot.full_house import House
from chatbot.guards import install_guards
from chatbot.identity import PERSON_COOKIE, Identity
from chatbot.limits import LimitSettings
from chatbot.metrics import Metrics
from chatbot.prompts import free_text_message, system_message
from chatbot.service import SWITCH_INTERVAL_S, ChatService, ChatSettings
from chatbot.themes import BaseInfo
from feedback_store.records import Conversation, NewTurn
from feedback_store.store import Store
from tests.scripted_engine import ANSWER, ANSWER_TEXT, Script, ScriptedEngine

NO_LIMITS = LimitSettings(num_streams=10_000, num_at_once=10_000, num_per_minute=10**9)
INFO = BaseInfo("city", "office", "ZERO_WASTE")


class NoLearning:
    """The learning wing of a page that only chats."""

    def recipes(self) -> Sequence[str]:
        return ("quick",)

    def blockers(self) -> Sequence[Any]:
        return ()

    def production(self) -> str | None:
        return None

    def waiting(self) -> None:
        return None

    def retrain_progress(self) -> None:
        return None

    def log_tail(self, _num_lines: int) -> Sequence[str]:
        return ()


def build_engine(arguments: argparse.Namespace, home: Path) -> Engine:
    """The scripted engine, or the one that talks to the running vLLM."""
    if not arguments.vllm_url:
        script = Script(tokens_per_s=arguments.tokens_per_s or None)
        return ScriptedEngine([script], keeps_calls=False)
    return VllmEngine(
        VllmSettings(
            model=arguments.model,
            log_path=home / "vllm.log",
            state_path=home / "vllm.json",
            url=(arguments.vllm_url,),
            api_key=arguments.vllm_key,
        )
    )


def add_turns(store: Store, person_id: str, num_turns: int) -> None:
    """A long conversation of the person."""
    store.add_conversation(
        Conversation(
            conversation_id="long",
            person_id=person_id,
            origin="public",
            lang="ko",
            title="긴 대화",
            location="city",
            work_type="office",
            category="ZERO_WASTE",
            first_category="ZERO_WASTE",
        )
    )
    messages = (system_message("ko"), free_text_message("더 알려줘", INFO, "ko"))
    for number in range(num_turns):
        turn = NewTurn(
            conversation_id="long",
            mode="free_text",
            user_text=f"{number}번째로 더 알려줘",
            location="city",
            work_type="office",
            category="ZERO_WASTE",
            messages=tuple({"role": m["role"], "content": m["content"]} for m in messages),
            raw_text=ANSWER_TEXT,
            recommendation=ANSWER,
            status="ok",
            base_model="scripted",
            prompt_hash="0",
        )
        store.add_turn(turn)


def build_app(service: ChatService, identity: Identity, with_page: bool) -> FastAPI:
    """Everything that stands before and behind the API in the product."""
    app = FastAPI(docs_url=None, redoc_url=None)
    metrics = Metrics(service)
    app.include_router(build_api(service, identity, metrics))
    if with_page:
        from chatbot.ui.layout import mount
        from chatbot.ui.parts import Parts

        mount(
            app,
            Parts(
                chat=service,
                store=service.store,
                engine_status=service.engine.status,
                learning=NoLearning(),  # type: ignore[arg-type]
                identify=lambda request: (identity.person_of(request) or "", None),
            ),
        )
    install_guards(app, identity, None, House(service.limits.is_full, metrics.count_request))
    return app


async def serve(arguments: argparse.Namespace, home: Path) -> None:
    """Serve until the process is ended."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    identity = Identity("benchmark" * 8)
    with Store.open(home / "data") as store:
        engine = build_engine(arguments, home)
        limits = LimitSettings() if arguments.limits else NO_LIMITS
        settings = ChatSettings(sampling=Sampling(temperature=0.0), limits=limits)
        service = ChatService(store, engine, lambda: None, settings)
        person_id, cookie = identity.new_person()
        if arguments.page:
            add_turns(store, person_id, arguments.num_turns)
        await engine.start()
        await engine.wait_ready(60)
        listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on: +40 ms
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = build_app(service, identity, arguments.page)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", backlog=2048, timeout_keep_alive=75)
        )
        ready = {"url": url, "cookie_name": PERSON_COOKIE, "cookie": cookie}
        gc.collect()
        gc.freeze()  # as the product does
        print(json.dumps(ready), flush=True)
        await server.serve(sockets=[listener])
        await service.close()
        await engine.stop()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vllm-url", default="")
    parser.add_argument("--vllm-key", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--tokens-per-s", type=float, default=0.0, help="of the scripted engine")
    parser.add_argument("--limits", action="store_true", help="those of the product")
    parser.add_argument("--page", action="store_true", help="with the chat page")
    parser.add_argument("--num-turns", type=int, default=40, help="of the seeded conversation")
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(serve(parser.parse_args(), Path(home)))


if __name__ == "__main__":
    main()
