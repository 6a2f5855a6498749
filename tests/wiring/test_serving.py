import asyncio
import threading
from pathlib import Path

import pytest

from chatbot.engines.base import EngineError
from chatbot.recommendation import parse
from finetune.evaluate import GenerateRequest
from tests.scripted_engine import ANSWER_TEXT, Script, ScriptedEngine
from wiring.serving import EngineServing


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def make_request(**changes):
    values = {
        "messages": ({"role": "user", "content": "안녕"},),
        "adapter": None,
        "constrained": True,
        "max_tokens": 64,
        "seed": 1,
    }
    return GenerateRequest(**(values | changes))


def test_answers_come_in_the_order_of_the_requests(loop):
    engine = ScriptedEngine(scripts=[Script(), Script(text="짧은 답")])
    answers = EngineServing(engine, loop, "starter").generate([make_request(), make_request()])
    assert sorted(answer.text for answer in answers) == sorted([ANSWER_TEXT, "짧은 답"])
    assert {answer.finish_reason for answer in answers} == {"stop"}


def test_the_schema_and_the_sampling_reach_the_engine(loop):
    engine = ScriptedEngine()
    serving = EngineServing(engine, loop, "starter")
    serving.generate([make_request(constrained=False, seed=5, max_tokens=9, temperature=0.2)])
    call = engine.calls[0]
    assert call.schema is None
    assert (call.sampling.seed, call.sampling.max_tokens, call.sampling.temperature) == (5, 9, 0.2)
    serving.generate([make_request()])
    assert parse(ANSWER_TEXT)
    assert engine.calls[1].schema is not None


def test_an_answer_that_fails_is_an_error_and_the_others_go_on(loop):
    broken = Script(text="", error=EngineError("died", "The engine died."))
    engine = ScriptedEngine(scripts=[broken, Script()])
    answers = EngineServing(engine, loop, "starter").generate([make_request(), make_request()])
    assert sorted(str(answer.finish_reason) for answer in answers) == ["error", "stop"]


def test_versions_record_the_name_of_the_base_not_its_folder(loop):
    assert EngineServing(ScriptedEngine(), loop, "starter").base_model == "starter"


def test_what_is_loaded_can_be_unloaded(loop, tmp_path):
    serving = EngineServing(ScriptedEngine(), loop, "starter")
    serving.load("v0001", Path(tmp_path))
    assert list(serving.loaded()) == ["v0001"]
    serving.unload("v0001")
    assert list(serving.loaded()) == []
