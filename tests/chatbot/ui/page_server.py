"""The two pages over real parts (store, service, guards) and an engine that follows the question:
"끊" in it cuts the answer, "실패" ends it with an error, "천천히" makes it slow.

Run as a process of its own: `python -m tests.chatbot.ui.page_server --data DIR --port PORT`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request

from chatbot.base_models import STARTER_DIR
from chatbot.engines.base import AdapterRef, Chunk, EngineError, EngineStatus, Sampling
from chatbot.full_house import House
from chatbot.guards import install_guards
from chatbot.identity import AccessSettings, Identity, Role, hash_password
from chatbot.limits import LimitSettings
from chatbot.login import build_login
from chatbot.metrics import Metrics
from chatbot.prompts import Message
from chatbot.recommendation import canonical
from chatbot.service import ChatService, ChatSettings
from chatbot.themes import detect_lang
from chatbot.ui.layout import mount
from chatbot.ui.parts import Parts, UiSettings, find_answering
from feedback_store.records import Conversation, NewFeedback, NewTurn
from feedback_store.store import Store
from finetune.checks import AnswerFormat, CheckSettings
from tests.chatbot.ui.planted_content import ALL, make_planted_answer, plant_content
from tests.chatbot.ui.scripted_learning import ScriptedLearning, add_version
from tests.scripted_engine import Script, ScriptedEngine

CHALLENGES = {
    "ko": [
        ("텀블러 챙기기", "출근길 카페에서 일회용 컵 대신 씻어 온 텀블러에 커피를 받아요."),
        ("서랍 속 개인 컵", "회의실로 갈 때 종이컵 대신 서랍에 둔 개인 컵을 하루 한 번 씻어 써요."),
        ("양면 인쇄 기본값", "프린터 설정을 양면 인쇄로 바꾸고 동료 두 명에게도 알려 줘요."),
    ],
    "en": [
        ("Bring a tumbler", "Ask the café to fill the tumbler you washed instead of a paper cup."),
        ("A cup in the drawer", "Keep your own cup so that no meeting needs a paper one."),
        ("Print on both sides", "Set the printer to both sides and show two colleagues how."),
    ],
}
SENTENCES = {
    "ko": "사무실에서도 손쉽게 쓰레기를 줄일 수 있는 작은 습관 세 가지를 골라 봤어요.",
    "en": "Here are three small habits that cut waste without much effort.",
}
TEXT_ANSWER = (
    "안녕하세요! 저는 혜나예요.\n\n오늘 같은 날에는 <b>산책</b>이 좋아요.\n1. 가까운 공원\n2. 강가"
)
MESSY = (
    '{"recommend":"1. 사무실에서 해 봐요.","challenges":['
    '{"title":"1. 텀블러 챙기기","description":"카페에서 텀블러를 써요."},'
    '{"title":"2. 개인 컵 두기","description":"종이컵을 쓰지 않아요."},'
    '{"title":"3. 양면 인쇄","description":"양면 인쇄로 바꿔요."}]}'
)


def make_answer(lang: str) -> str:
    rows = random.sample(CHALLENGES[lang], 3)
    challenges = [{"title": title, "description": text} for title, text in rows]
    value = {"recommend": SENTENCES[lang], "challenges": challenges}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class FollowingEngine(ScriptedEngine):
    """Chooses its script by the question; warm when the file is there. Has every version loaded."""

    warm_file: Path | None = None
    is_text: bool = False  # answers in free text, as a project with answer_format = text
    tokens_per_s: float = 120.0
    store: Store

    async def loaded(self) -> tuple[AdapterRef, ...]:
        return tuple(AdapterRef(a.version, Path("/x")) for a in self.store.list_adapters())

    def status(self) -> EngineStatus:
        if self.warm_file and not self.warm_file.exists():
            return EngineStatus("starting", "Loading the weights.", self.base_model)
        return super().status()

    def stream(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        sampling: Sampling,
        schema: dict[str, Any] | None,
    ) -> AsyncIterator[Chunk]:
        said = messages[-1]["content"]
        text = make_answer(detect_lang(said))
        text = TEXT_ANSWER if self.is_text else text
        options: dict[str, Any] = {"text": text, "piece": 3, "tokens_per_s": self.tokens_per_s}
        if "천천히" in said:
            options["tokens_per_s"] = 15.0
        if "끊" in said:
            options |= {"text": text[: len(text) // 2], "finish_reason": "length"}
        if "실패" in said:
            error = EngineError("died", "The engine died.")
            options |= {"text": text[:60], "finish_reason": None, "error": error}
        if "페이로드" in said:
            answer = make_planted_answer(len(said))
            options |= {"text": canonical(answer)}
        self.scripts = [Script(**options)]
        return super().stream(messages, adapter, sampling, schema)


def add_rated_turns(store: Store, count: int) -> None:
    """Liked answers; every second one is malformed in a way that can be repaired."""
    for number in range(count):
        conversation = store.add_conversation(
            Conversation(
                conversation_id=f"seed-{number}",
                person_id="p_seed",
                origin="studio",
                lang="ko",
                title="쓰레기 줄이기",
                location="city",
                work_type="office",
                category="ZERO_WASTE",
                first_category="ZERO_WASTE",
                may_train=True,
            )
        )
        raw = MESSY if number % 2 == 0 else make_answer("ko").replace("골라", f"{number}번 골라")
        turn = store.add_turn(
            NewTurn(
                conversation_id=conversation.conversation_id,
                mode="free_text",
                user_text=f"쓰레기를 줄이고 싶어요 {number}",
                location="city",
                work_type="office",
                category="ZERO_WASTE",
                messages=({"role": "user", "content": f"쓰레기를 줄이고 싶어요 {number}"},),
                raw_text=raw,
                recommendation=json.loads(raw),
                status="ok",
                base_model="starter",
                prompt_hash="h",
                duration_ms=1500.0,
                time_to_first_token_ms=200.0,
            )
        )
        store.set_feedback(NewFeedback(turn_id=turn.turn_id, person_id="p_seed", rating="like"))


def build_app(store: Store, options: argparse.Namespace) -> FastAPI:
    engine = FollowingEngine(base_model="starter")
    engine.warm_file = options.warm_file
    engine.tokens_per_s = options.tokens_per_s
    engine.store = store
    engine.is_text = options.text
    learning = ScriptedLearning(store, why_waiting=options.waiting)
    if options.waiting:
        engine.state, engine.detail = "degraded", options.waiting
    add_rated_turns(store, options.num_rated)
    if options.payloads:
        plant_content(store)
        learning.log_lines = list(ALL)
    if options.num_accepted:
        learning.collect()
        found = store.find_examples(limit=options.num_accepted).items
        ids = [example.example_id for example in found]
        store.decide_examples(ids, state="accepted", decided_by="p_seed")
    for number in range(options.num_versions):
        version = add_version(store, share=0.6 + 0.1 * number)
        store.set_alias("production", version, actor="retrain", reason="passed the gate: Better.")
    if options.num_versions:
        add_version(store, "fail", 0.3)

    def production() -> AdapterRef | None:
        version = find_answering(learning)
        return AdapterRef(version, Path("/x")) if version else None

    limits = LimitSettings(num_at_once=options.num_at_once, num_per_minute=options.num_per_minute)
    service = ChatService(
        store, engine, production, ChatSettings(limits=limits, is_constrained=not options.text)
    )
    access = AccessSettings()
    if options.password:
        access = AccessSettings(
            is_login_required=True,
            admin_password_hash=hash_password(options.password),
            curator_password_hash=hash_password(f"curator-{options.password}"),
        )
    identity = Identity("s" * 40, access)

    def identify(request: Request) -> tuple[str, Role | None]:
        return identity.person_of(request) or "", identity.role_of(request)

    app = FastAPI()
    app.include_router(build_login(identity, store.record))
    settings = UiSettings(public_arena=True, has_login=bool(options.password))
    answer_format: AnswerFormat = "text" if options.text else "recommendation"
    checks = CheckSettings(model_dir=STARTER_DIR, answer_format=answer_format)
    mount(app, Parts(service, store, engine.status, learning, identify, settings, checks))
    house = House(service.limits.is_full, Metrics(service).count_request)
    install_guards(app, identity, None, house)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--warm-file", type=Path, help="the model warms up until it is there")
    parser.add_argument("--num-at-once", type=int, default=4)
    parser.add_argument("--num-per-minute", type=int, default=1000)
    parser.add_argument("--tokens-per-s", type=float, default=120.0)
    parser.add_argument("--num-rated", type=int, default=0)
    parser.add_argument("--num-accepted", type=int, default=0)
    parser.add_argument("--num-versions", type=int, default=0)
    parser.add_argument("--waiting", default="", help="why production cannot be served")
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--password", default="")
    parser.add_argument("--payloads", action="store_true")
    options = parser.parse_args()
    with Store.open(options.data) as store:
        uvicorn.run(
            build_app(store, options),
            host="127.0.0.1",
            port=options.port,
            log_level="warning",
            timeout_graceful_shutdown=2,  # an open page would hold it for ever
        )


if __name__ == "__main__":
    main()
