"""One turn end to end, on the real store with a scripted engine."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from chatbot.engines.base import AdapterRef, EngineError, Sampling
from chatbot.generation import PaceSettings
from chatbot.limits import LimitSettings
from chatbot.plan import make_plan
from chatbot.recommendation import Challenge, Recommendation, from_dict, to_text
from chatbot.service import (
    ChatError,
    ChatService,
    Failed,
    Finished,
    NotYours,
    Progress,
    Started,
    TurnEvent,
    TurnRequest,
)
from chatbot.themes import BaseInfo
from feedback_store.records import NewTurn, Turn
from feedback_store.store import Store
from tests.chatbot.conftest import MakeService
from tests.scripted_engine import ANSWER, ANSWER_TEXT, Script, ScriptedEngine

NEW_TURN_FIELDS = tuple(field.name for field in fields(NewTurn))
READABLE = to_text(from_dict(ANSWER))
BETTER = Recommendation("더 나은 문장", tuple(Challenge(f"제목 {n}", "설명") for n in range(3)))


def ask(text: str = "비건 챌린지 알려줘", **changes: Any) -> TurnRequest:
    request = TurnRequest(person_id="p1", origin="public", lang="ko", mode="free_text", text=text)
    return replace(request, **changes)


def choose(**changes: Any) -> TurnRequest:
    info = BaseInfo("beach", "sales", "PLOGGING")
    return ask("", mode="base_info", base_info=info, **changes)


async def run(service: ChatService, request: TurnRequest) -> list[TurnEvent]:
    return [event async for event in service.answer(request)]


async def finish(service: ChatService, request: TurnRequest) -> Turn:
    last = (await run(service, request))[-1]
    assert isinstance(last, Finished)
    return last.turn


def engine_of(service: ChatService) -> ScriptedEngine:
    assert isinstance(service.engine, ScriptedEngine)
    return service.engine


async def test_an_answer_streams_and_is_stored_whole(
    make_service: MakeService, store: Store
) -> None:
    service = make_service(Script(), production=AdapterRef("v0003", Path("/a")))
    events = await run(service, choose())

    started, *middle, finished = events
    assert isinstance(started, Started)
    assert started.adapter == "v0003"
    assert started.base_info == BaseInfo("beach", "sales", "PLOGGING")
    progress = [event for event in middle if isinstance(event, Progress)]
    assert len(progress) == len(middle)
    assert "".join(event.delta for event in progress) == READABLE
    assert progress[-1].recommend == ANSWER["recommend"]
    assert len(progress[-1].challenges) == 3
    assert isinstance(finished, Finished)
    assert finished.recommendation == from_dict(ANSWER)
    turn = store.get_turn(finished.turn.turn_id)
    assert turn == finished.turn
    assert (turn.status, turn.adapter, turn.base_model) == ("ok", "v0003", "scripted")
    assert (turn.raw_text, turn.recommendation) == (ANSWER_TEXT, ANSWER)
    assert (turn.prompt_tokens, turn.finish_reason) == (20, "stop")
    assert turn.time_to_first_token_ms is not None
    assert turn.duration_ms >= turn.time_to_first_token_ms
    assert turn.messages == tuple(dict(m) for m in engine_of(service).calls[0].messages)
    assert turn.user_text == "바닷가 · 영업직 · 플로깅"
    conversation = store.get_conversation(turn.conversation_id)
    assert conversation is not None
    assert (conversation.person_id, conversation.title) == ("p1", "바닷가 · 영업직 · 플로깅")


async def test_the_talk_moves_the_base_info_and_returns(make_service: MakeService) -> None:
    service = make_service()
    first = await finish(service, ask("바닷가에서 재택으로 일해요. 비건 알려줘"))
    went = [(first.location, first.work_type, first.category)]
    for text in ("전기요금이 걱정이에요", "아무거나 줘", "원래대로 해줘"):
        turn = await finish(service, ask(text, conversation_id=first.conversation_id))
        went.append((turn.location, turn.work_type, turn.category))
    assert went == [
        ("beach", "remote", "VEGAN"),
        ("beach", "remote", "ENERGY_SAVING"),
        ("beach", "remote", "UPCYCLING"),
        ("beach", "remote", "VEGAN"),
    ]


async def test_changed_chips_count_more_than_the_words(make_service: MakeService) -> None:
    info = BaseInfo("산", "field", "UPCYCLE")
    turn = await finish(make_service(), ask("비건 알려줘", base_info=info))
    assert (turn.location, turn.category) == ("mountain", "UPCYCLING")


async def test_earlier_turns_go_along_from_the_store(make_service: MakeService) -> None:
    service = make_service()
    first = await finish(service, ask("비건 알려줘"))
    await finish(service, ask("더 알려줘", conversation_id=first.conversation_id))
    roles = [message["role"] for message in engine_of(service).calls[1].messages]
    assert roles == ["system", "user", "assistant", "user"]


async def test_a_prompt_that_the_engine_finds_too_long_is_tried_with_fewer_turns(
    make_service: MakeService,
) -> None:
    too_long = Script(text="", error=EngineError("too_long", "Too long."))
    service = make_service(Script(), Script(), Script(), too_long, Script())
    conversation_id = (await finish(service, ask("비건"))).conversation_id
    for _ in range(2):
        await finish(service, ask("비건", conversation_id=conversation_id))
    turn = await finish(service, ask("비건", conversation_id=conversation_id))
    sizes = [len(call.messages) for call in engine_of(service).calls]
    assert sizes == [2, 4, 6, 8, 4]
    assert len(turn.messages) == 4


async def test_the_answer_is_shortened_rather_than_refused_in_a_small_window(
    make_service: MakeService,
) -> None:
    service = make_service(sampling=Sampling(max_tokens=512))
    engine_of(service).context_window = 600
    await finish(service, choose())
    assert 64 <= engine_of(service).calls[0].sampling.max_tokens < 512


async def test_updates_come_at_most_thirty_times_a_second(make_service: MakeService) -> None:
    service = make_service(Script(piece=1, tokens_per_s=2000), pace=PaceSettings())
    started = asyncio.get_running_loop().time()
    events = await run(service, choose())
    seconds = asyncio.get_running_loop().time() - started
    num_updates = sum(isinstance(event, Progress) for event in events)
    assert 2 <= num_updates <= seconds * 30 + 2


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        (Script(text=ANSWER_TEXT[:80], finish_reason="length"), "truncated", "truncated"),
        (Script(text=ANSWER_TEXT[:80], finish_reason="repetition"), "truncated", "truncated"),
        (Script(text=ANSWER_TEXT[:80], finish_reason="abort"), "died", "failed"),
        (Script(text=ANSWER_TEXT[:80], error=EngineError("died", "It died.")), "died", "failed"),
        (Script(text="", error=EngineError("refused", "No.")), "refused", "refused"),
        (Script(text=ANSWER_TEXT[:80], hangs=True), "timed_out", "failed"),
        (Script(text="", hangs=True), "timed_out", "failed"),
        (Script(text=ANSWER_TEXT[:80], error=OSError("pipe")), "died", "failed"),
        (Script(text=ANSWER_TEXT[:12], piece=1, tokens_per_s=8.0, hangs=True), "timed_out", None),
        (Script(text="가" * 40_000, piece=500), "too_much", None),
        (Script(text="  ", finish_reason="stop"), "empty_answer", "failed"),
    ],
)
async def test_every_failure_has_its_code_and_is_stored_with_what_came(
    make_service: MakeService, store: Store, script: Script, code: str, status: str | None
) -> None:
    service = make_service(script)
    events = await run(service, choose())
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.code == code
    assert last.message.endswith((".", "pipe"))
    assert last.turn is not None
    turn = store.get_turn(last.turn.turn_id)
    assert turn is not None
    if status is None:  # ended by us in the middle: what came until then is kept
        assert turn.status == "failed"
        assert script.text.startswith(turn.raw_text)
    else:
        assert (turn.status, turn.raw_text, turn.recommendation) == (status, script.text, None)
    assert engine_of(service).num_running == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("안녕하세요, 그냥 말로 답해요.", "not_json"),
        ('{"recommend":"하나뿐"}', "missing_key"),
        (
            json.dumps({**ANSWER, "recommend": "문장 " + json.dumps(ANSWER["challenges"][:1])}),
            "stuffed",
        ),
    ],
)
async def test_an_answer_that_is_no_recommendation_is_kept_as_text(
    make_service: MakeService, text: str, problem: str
) -> None:
    service = make_service(Script(text=text), is_constrained=False)
    last = (await run(service, choose()))[-1]
    assert isinstance(last, Finished)
    assert last.recommendation is None
    assert last.turn.status == "ok"
    assert (last.turn.parse_error or "").startswith(problem)
    assert engine_of(service).calls[0].schema is None


async def test_closing_the_iterator_stops_the_engine_and_stores_what_came(
    make_service: MakeService, store: Store
) -> None:
    service = make_service(Script(tokens_per_s=100))
    async with aclosing(service.answer(choose())) as events:
        async for event in events:
            if isinstance(event, Progress):
                break
    await service.close()
    assert engine_of(service).num_running == 0
    [conversation] = store.list_conversations("p1")
    [turn] = store.list_turns(conversation.conversation_id)
    assert turn.status == "stopped"
    assert turn.raw_text
    assert ANSWER_TEXT.startswith(turn.raw_text)


async def test_a_cancelled_task_leaves_a_stopped_turn(
    make_service: MakeService, store: Store
) -> None:
    service = make_service(Script(text=ANSWER_TEXT[:40], hangs=True), pace=PaceSettings())
    task = asyncio.create_task(run(service, choose()))
    await asyncio.sleep(0.2)
    assert engine_of(service).num_running == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await service.close()
    [conversation] = store.list_conversations("p1")
    assert [turn.status for turn in store.list_turns(conversation.conversation_id)] == ["stopped"]
    assert engine_of(service).num_running == 0


async def test_a_retry_keeps_both_answers_and_asks_the_same(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    first = await finish(service, ask("비건 알려줘"))
    second = await finish(service, ask("플로깅", conversation_id=first.conversation_id))
    again = await finish(service, ask("", retry_of=second.turn_id))
    calls = engine_of(service).calls
    assert calls[2].messages == calls[1].messages
    turns = store.list_turns(first.conversation_id)
    assert [(turn.turn_id, turn.retry_of) for turn in turns][2] == (again.turn_id, second.turn_id)
    assert (again.user_text, again.category) == ("플로깅", "PLOGGING")


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (ask(""), "empty_message", "text"),
        (ask(" \n\t "), "empty_message", "text"),
        (ask("가" * 8001), "too_long", "text"),
        (ask("가" * 10_000_000), "too_long", "text"),
        (ask("", mode="base_info"), "unknown_option", "base_info"),
        (choose(lang="fr"), "unknown_option", "lang"),
        (ask("네", base_info=BaseInfo("moon", "office", "VEGAN")), "unknown_option", "location"),
        (ask("네", base_info=BaseInfo("city", "", "VEGAN")), "unknown_option", "work_type"),
        (ask("네", conversation_id="gone"), "not_found", None),
        (ask("", retry_of=77), "not_found", None),
    ],
)
async def test_bad_input_is_refused_before_anything_is_stored(
    make_service: MakeService, store: Store, request_: TurnRequest, code: str, field: str | None
) -> None:
    service = make_service()
    with pytest.raises(ChatError) as caught:
        await run(service, request_)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert store.list_conversations("p1") == []
    assert engine_of(service).calls == []


async def test_text_is_cleaned_at_the_boundary(make_service: MakeService) -> None:
    service = make_service()
    turn = await finish(service, ask(" 안녕\0하세요 \ud83d " + "하" + "가" * 7985))
    assert turn.user_text.startswith("안녕\ufffd하세요 \ufffd 하가")
    assert len(turn.user_text) <= 8000


@pytest.mark.parametrize("state", ["starting", "failed", "stopped"])
async def test_an_engine_that_is_not_ready_says_why(make_service: MakeService, state: Any) -> None:
    service = make_service()
    engine_of(service).state, engine_of(service).detail = state, "Loading weights, 40 %."
    with pytest.raises(ChatError, match="Loading weights") as caught:
        await run(service, choose())
    assert caught.value.code == "engine_not_ready"


async def test_somebody_elses_conversation_and_answers_are_out_of_reach(
    make_service: MakeService,
) -> None:
    service = make_service()
    turn = await finish(service, choose())
    for request in (
        ask("네?", conversation_id=turn.conversation_id, person_id="p2"),
        ask("", retry_of=turn.turn_id, person_id="p2"),
    ):
        with pytest.raises(NotYours):
            await run(service, request)
    with pytest.raises(NotYours):
        service.rate(turn.turn_id, "p2", "like")
    with pytest.raises(NotYours):
        service.correct(turn.turn_id, "p2", BETTER)
    with pytest.raises(NotYours):
        service.open_conversation(turn.conversation_id, "p2")


async def test_rating_and_correction_keep_each_other(make_service: MakeService) -> None:
    service = make_service()
    turn = await finish(service, choose())
    service.rate(turn.turn_id, "p1", "dislike", ["too_vague"], " 더 구체적으로 ")
    service.correct(turn.turn_id, "p1", BETTER)
    feedback = service.rate(turn.turn_id, "p1", "like", ["fits_me"])
    assert (feedback.rating, feedback.reasons, feedback.comment) == ("like", ("fits_me",), "")
    assert feedback.correction is not None
    assert from_dict(feedback.correction) == BETTER
    taken_back = service.rate(turn.turn_id, "p1", None)
    assert (taken_back.rating, taken_back.correction) == (None, feedback.correction)
    _, turns, by_turn = service.open_conversation(turn.conversation_id, "p1")
    assert by_turn == {turns[0].turn_id: taken_back}


@pytest.mark.parametrize(
    ("better", "code"),
    [
        (replace(BETTER, recommend=" "), "empty_field"),
        (replace(BETTER, recommend="가" * 301), "too_long"),
        (replace(BETTER, challenges=BETTER.challenges[:2]), "wrong_count"),
    ],
)
async def test_an_invalid_correction_is_refused(
    make_service: MakeService, better: Recommendation, code: str
) -> None:
    service = make_service()
    turn = await finish(service, choose())
    with pytest.raises(ChatError) as caught:
        service.correct(turn.turn_id, "p1", better)
    assert (caught.value.code, caught.value.field) == ("invalid_correction", code)


async def test_a_failed_turn_cannot_be_corrected(make_service: MakeService) -> None:
    service = make_service(Script(text="", error=EngineError("died", "It died.")))
    last = (await run(service, choose()))[-1]
    assert isinstance(last, Failed)
    assert last.turn is not None
    with pytest.raises(ChatError, match="no answer to correct"):
        service.correct(last.turn.turn_id, "p1", BETTER)


@pytest.mark.parametrize(
    ("rating", "reasons", "comment", "field"),
    [
        ("great", [], "", "rating"),
        ("like", ["x"] * 21, "", "reasons"),
        ("like", ["x" * 101], "", "reasons"),
        ("like", [], "x" * 2001, "comment"),
    ],
)
async def test_an_odd_rating_is_refused(
    make_service: MakeService, rating: Any, reasons: list[str], comment: str, field: str
) -> None:
    service = make_service()
    turn = await finish(service, choose())
    with pytest.raises(ChatError) as caught:
        service.rate(turn.turn_id, "p1", rating, reasons, comment)
    assert caught.value.field == field


async def test_training_needs_the_switch_and_the_studio_counts_as_given(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    for request, wanted in (
        (choose(), False),
        (choose(may_train=True), True),
        (choose(origin="studio"), True),
    ):
        turn = await finish(service, request)
        conversation = store.get_conversation(turn.conversation_id)
        assert conversation is not None
        assert conversation.may_train is wanted
    await finish(service, ask("네", conversation_id=turn.conversation_id, origin="public"))
    conversation = store.get_conversation(turn.conversation_id)
    assert conversation is not None
    assert conversation.may_train is False


async def test_one_answer_at_a_time_and_so_many_a_minute(make_service: MakeService) -> None:
    limits = LimitSettings(num_at_once=1, num_per_minute=3)
    service = make_service(Script(tokens_per_s=50), limits=limits)
    async with aclosing(service.answer(choose())) as events:
        await anext(events)
        with pytest.raises(ChatError) as caught:
            await run(service, choose())
        assert caught.value.code == "one_at_a_time"
        engine_of(service).scripts = [Script()]
        await finish(service, choose(is_alongside=True))
        await finish(service, choose(person_id="p2"))
        await finish(service, choose(origin="studio"))
    await finish(service, choose())
    with pytest.raises(ChatError) as caught:
        await run(service, choose())
    assert caught.value.code == "too_fast"
    assert (caught.value.retry_after_s or 0) > 50


async def test_a_full_house_is_said_and_places_come_back(make_service: MakeService) -> None:
    service = make_service(Script(tokens_per_s=200), limits=LimitSettings(num_streams=1))
    async with aclosing(service.answer(choose())) as events:
        await anext(events)
        with pytest.raises(ChatError) as caught:
            await run(service, choose(person_id="p2"))
        assert caught.value.code == "busy"
    await finish(service, choose(person_id="p2"))
    assert service.limits.num_running == 0


async def test_a_store_that_cannot_write_is_said_and_the_answer_was_shown(
    make_service: MakeService, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    service = make_service(Script(tokens_per_s=200))
    shown = ""
    last: TurnEvent | None = None
    async for event in service.answer(choose()):
        if isinstance(event, Progress):
            shown += event.delta
            store.close()
        last = event
    assert shown == READABLE
    assert isinstance(last, Failed)
    assert (last.code, last.turn) == ("closed", None)
    assert "could not be stored" in caplog.text


async def test_a_store_that_cannot_read_refuses_the_turn(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    turn = await finish(service, choose())
    store.close()
    with pytest.raises(ChatError) as caught:
        await run(service, ask("네?", conversation_id=turn.conversation_id))
    assert caught.value.code == "closed"


async def test_after_closing_no_turn_begins(make_service: MakeService) -> None:
    service = make_service()
    await service.close()
    with pytest.raises(ChatError) as caught:
        await run(service, choose())
    assert caught.value.code == "shutting_down"


async def test_observers_hear_of_every_stored_turn(make_service: MakeService) -> None:
    service = make_service()
    seen: list[Turn] = []
    service.observers.append(seen.append)
    turn = await finish(service, choose())
    assert seen == [turn]


async def test_a_conversation_keeps_the_adapter_that_is_chosen_for_it(
    make_service: MakeService,
) -> None:
    asked: list[str] = []

    def choose_one(conversation_id: str) -> AdapterRef | None:
        asked.append(conversation_id)
        return AdapterRef("v0002", Path("/b")) if len(asked) < 4 else None

    service = make_service(production=AdapterRef("v0001", Path("/a")), choose=choose_one)
    first = await finish(service, ask())
    second = await finish(service, ask(conversation_id=first.conversation_id))
    again = await finish(service, ask("", retry_of=second.turn_id))
    assert [turn.adapter for turn in (first, second, again)] == ["v0002"] * 3
    assert asked == [first.conversation_id] * 3
    assert (await finish(service, ask())).adapter == ""
    assert (await finish(service, ask(adapter="v0009"))).adapter == "v0009"
    assert len(asked) == 4


def kept_of(store: Store, person_id: str) -> dict[str, Any]:
    exported = store.export_person(person_id)
    return {name: rows for name, rows in exported.items() if isinstance(rows, list) and rows}


@pytest.mark.parametrize("reads_on", [True, False])
async def test_who_is_forgotten_while_being_answered_leaves_nothing(
    make_service: MakeService, store: Store, reads_on: bool
) -> None:
    """Also when whoever reads the answer has stopped reading, as a slow browser does."""
    service = make_service(Script(tokens_per_s=200), pace=PaceSettings())
    other = asyncio.create_task(run(service, ask("비건 알려줘", person_id="p2")))
    async with aclosing(service.answer(ask())) as events:
        async for event in events:
            if isinstance(event, Progress):
                break
        await service.forget("p1", lambda: store.delete_person("p1"))
        assert engine_of(service).num_running == 1
        rest = [event async for event in events] if reads_on else []
    if reads_on:
        assert isinstance(rest[-1], Failed)
        assert (rest[-1].code, rest[-1].turn) == ("forgotten", None)
    assert isinstance((await other)[-1], Finished)
    assert kept_of(store, "p1") == {}
    assert len(kept_of(store, "p2")["turns"]) == 1
    assert isinstance((await run(service, ask()))[-1], Finished)


async def test_an_answer_that_is_just_being_stored_is_stored_and_then_deleted(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    events = service.answer(ask())
    async with aclosing(events):
        await anext(events)
        task = asyncio.create_task(_drain(events))
        while not service._saving and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        await service.forget("p1", lambda: store.delete_person("p1"))
        await task
    assert kept_of(store, "p1") == {}


async def _drain(events: Any) -> None:
    async for _ in events:
        pass


async def test_nothing_is_asked_while_a_person_is_being_forgotten(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    may_end = threading.Event()
    deleting = asyncio.create_task(service.forget("p1", may_end.wait))
    await asyncio.sleep(0.02)
    with pytest.raises(ChatError) as refused:
        await run(service, ask())
    assert refused.value.code == "forgotten"
    may_end.set()
    assert await deleting
    assert isinstance((await run(service, ask()))[-1], Finished)


async def test_a_long_conversation_is_planned_from_its_end(
    make_service: MakeService, store: Store
) -> None:
    """Every turn of it used to be read whole, on the loop that writes everybody's answers."""
    service = make_service()
    first = await finish(service, ask())
    for number in range(300):
        template = replace(first, user_text=f"q{number}", messages=(*first.messages,) * 20)
        store.add_turn(NewTurn(**{name: getattr(template, name) for name in NEW_TURN_FIELDS}))
    began_at = time.process_time()
    plan = make_plan(store, ask(conversation_id=first.conversation_id), lambda *_: "")
    assert len(plan.history) == 40
    assert time.process_time() - began_at < 0.25


async def test_a_message_that_the_model_cannot_read_is_refused_before_it_is_sent(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    engine_of(service).context_window = 2000
    with pytest.raises(ChatError) as refused:
        await run(service, ask("가" * 8000))
    assert (refused.value.code, refused.value.field) == ("too_long_for_model", "text")
    assert engine_of(service).calls == []
    assert store.list_conversations("p1") == []
    assert service.limits.num_running == 0


async def test_a_message_that_the_engine_finds_too_long_is_not_kept_to_be_tried_again(
    make_service: MakeService, store: Store
) -> None:
    """Another try of it would fail each time; the person has it back, to shorten it."""
    too_long = Script(text="", error=EngineError("too_long", "Too long."))
    service = make_service(Script(), too_long)
    first = await finish(service, ask("비건"))
    again = ask("가" * 5000, conversation_id=first.conversation_id)
    last = (await run(service, again))[-1]
    assert isinstance(last, Failed)
    assert (last.code, last.turn) == ("too_long_for_model", None)
    assert len(engine_of(service).calls) == 3  # with the earlier turn, and without it
    assert len(store.list_turns(first.conversation_id)) == 1


async def test_forgetting_needs_no_thread_of_the_pool_that_its_command_waits_in(
    make_service: MakeService,
) -> None:
    service, loop = make_service(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))

    def command() -> int:
        forgetting = service.forget("p1", lambda: 7)
        return asyncio.run_coroutine_threadsafe(forgetting, loop).result(10)

    assert await asyncio.to_thread(command) == 7
    assert not service.is_forgetting("p1")
