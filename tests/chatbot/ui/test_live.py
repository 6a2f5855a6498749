import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from chatbot.engines.base import EngineError, EngineState, EngineStatus
from chatbot.limits import LimitSettings
from chatbot.service import ChatService, TurnRequest
from chatbot.ui import live as live_module
from chatbot.ui.live import LiveAnswer, LiveAnswers
from feedback_store.store import Store
from tests.chatbot.conftest import MakeService
from tests.scripted_engine import Script

REQUEST = TurnRequest(
    person_id="p", origin="public", lang="ko", mode="free_text", text="쓰레기를 줄이고 싶어요"
)


def follow_ready(service: ChatService) -> LiveAnswers:
    return LiveAnswers(service, service.engine.status)


async def see(answers: LiveAnswers, answer: LiveAnswer) -> list[tuple[str, str, int]]:
    return [
        (seen.phase, seen.recommend, len(seen.challenges)) async for seen in answers.follow(answer)
    ]


async def test_an_answer_ends_done_with_its_turn(make_service: MakeService) -> None:
    answers = follow_ready(make_service(Script(tokens_per_s=400)))
    answer = answers.start(REQUEST)
    seen = await see(answers, answer)
    assert seen[-1][0] == "done"
    assert seen[-1][2] == 3
    assert answer.turn
    assert answer.turn.status == "ok"
    assert answer.error is None
    assert answers.find("p", answer.conversation_id) is None


async def test_a_fast_engine_does_not_flood_the_page(make_service: MakeService) -> None:
    answers = follow_ready(make_service(Script(piece=1, tokens_per_s=1500)))
    answer = answers.start(REQUEST)
    started = asyncio.get_running_loop().time()
    seen = await see(answers, answer)
    elapsed = asyncio.get_running_loop().time() - started
    assert len(seen) <= elapsed / live_module.UPDATE_INTERVAL_S + 3


async def test_a_second_page_finds_the_answer_again(make_service: MakeService) -> None:
    answers = follow_ready(make_service(Script(tokens_per_s=100)))
    answer = answers.start(REQUEST)
    async for seen in answers.follow(answer):
        if seen.phase == "writing":
            break  # the first page is reloaded
    found = answers.find("p", answer.conversation_id)
    assert found is answer
    assert (await see(answers, answer))[-1][0] == "done"
    assert answer.turn
    assert answer.turn.status == "ok"


async def test_nobody_else_finds_it(make_service: MakeService) -> None:
    answers = follow_ready(make_service(Script(tokens_per_s=100)))
    answer = answers.start(REQUEST)
    assert answers.find("somebody else", None) is None
    answers.stop(answer)
    await see(answers, answer)


async def test_stopping_keeps_what_was_written(make_service: MakeService) -> None:
    service = make_service(Script(tokens_per_s=100))
    answers = follow_ready(service)
    answer = answers.start(REQUEST)
    async for seen in answers.follow(answer):
        if seen.phase == "writing":
            answers.stop(answer)
    assert answer.error
    assert answer.error[0] == "stopped"
    assert answer.conversation_id
    await service.close()
    turns = service.store.list_turns(answer.conversation_id)
    assert [turn.status for turn in turns] == ["stopped"]
    assert turns[0].raw_text


async def test_a_message_sent_while_the_engine_warms_up_is_answered_when_it_is_ready(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "ENGINE_POLL_S", 0.01)
    states: list[EngineState] = ["starting", "starting", "ready"]

    def status() -> EngineStatus:
        state = states.pop(0) if len(states) > 1 else states[0]
        return EngineStatus(state, f"{len(states)} left", "starter")

    answers = LiveAnswers(make_service(), status)
    answer = answers.start(REQUEST)
    phases = [seen[0] for seen in await see(answers, answer)]
    assert phases[-1] == "done"
    assert answer.turn


async def test_an_engine_that_cannot_start_is_told(make_service: MakeService) -> None:
    service = make_service()
    service.engine.state = "failed"  # type: ignore[attr-defined]
    answer = follow_ready(service).start(REQUEST)
    assert answer.task
    await answer.task
    assert answer.error
    assert answer.error[0] == "engine_not_ready"


async def test_an_engine_that_dies_leaves_the_partial_turn(make_service: MakeService) -> None:
    script = Script(text='{"recommend":"가볍게', error=EngineError("died", "The engine died."))
    answers = follow_ready(make_service(script))
    answer = answers.start(REQUEST)
    await see(answers, answer)
    assert answer.error == ("died", "The engine died.")
    assert answer.turn
    assert answer.turn.status == "failed"


async def test_an_answer_that_nobody_looks_at_is_stopped_after_a_while(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "GRACE_S", 0.05)
    answers = follow_ready(make_service(Script(tokens_per_s=20)))
    answer = answers.start(replace(REQUEST, text="오래 걸리는 질문"))
    async for seen in answers.follow(answer):
        if seen.phase == "writing":
            break
    assert answer.task
    await asyncio.wait({answer.task}, timeout=5)
    assert answer.error
    assert answer.error[0] == "stopped"


async def test_who_looks_again_and_leaves_has_the_whole_grace_again(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "GRACE_S", 0.4)
    answers = follow_ready(make_service(Script(tokens_per_s=30)))
    answer = answers.start(REQUEST)
    for pause_s in (0.3, 0.3, 0.0):  # a page that is reloaded again and again
        async with aclosing(answers.follow(answer)) as seen:
            await anext(seen)
        await asyncio.sleep(pause_s)
    assert answer.phase != "done"
    assert answer.alone_timer
    answers.stop(answer)
    await see(answers, answer)
    assert answer.alone_timer.cancelled()


@pytest.mark.parametrize("state", ["starting", "ready"])
async def test_who_is_forgotten_waits_for_no_answer_any_more(
    make_service: MakeService, store: Store, state: EngineState
) -> None:
    """Also one that only waits for the engine: it would be asked, and kept, after the deletion."""
    service = make_service(Script(tokens_per_s=50))
    status = EngineStatus(state, "…", "base")
    answers = LiveAnswers(service, lambda: status)
    answer, other = answers.start(REQUEST), answers.start(replace(REQUEST, person_id="other"))
    await asyncio.sleep(0.1)
    await service.forget("p", lambda: store.delete_person("p"))
    await asyncio.sleep(0)
    assert answer.error
    assert (answer.phase, answer.error[0], answer.turn) == ("done", "forgotten", None)
    assert other.phase != "done"
    answers.stop(other)
    await see(answers, other)
    await service.close()
    assert store.export_person("p")["conversations"] == []


async def test_an_answer_that_is_kept_is_written_to_its_end(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "GRACE_S", 0.01)
    answers = follow_ready(make_service(Script(tokens_per_s=200)))
    answer = answers.start(REQUEST)
    async for seen in answers.follow(answer):
        if seen.phase == "writing":
            answer.is_kept = True  # the page shows another conversation meanwhile
            break
    assert answer.task
    await asyncio.wait({answer.task}, timeout=5)
    assert answer.turn
    assert answer.turn.status == "ok"


async def test_it_is_known_at_once_whether_a_question_was_taken(make_service: MakeService) -> None:
    limits = LimitSettings(num_per_minute=1)
    answers = follow_ready(make_service(Script(tokens_per_s=100), limits=limits))
    taken = answers.start(REQUEST)
    await taken.wait_begun()
    assert taken.base_info
    assert not taken.recommend
    refused = answers.start(REQUEST)
    await refused.wait_begun()
    assert (refused.phase, refused.base_info) == ("done", None)
    assert refused.error
    assert refused.error[0] == "one_at_a_time"
    assert answers.list_of("p") == [taken]
    answers.stop(taken)
    await see(answers, taken)
