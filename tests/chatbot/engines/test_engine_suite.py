"""What every engine must do, run against all of them with a tiny model that is really loaded."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from chatbot import prompts
from chatbot.base_models import prepare, resolve
from chatbot.engines.base import AdapterRef, Chunk, Engine, EngineError, Sampling
from chatbot.engines.transformers import TransformersEngine, TransformersSettings
from chatbot.engines.vllm import VllmEngine
from chatbot.engines.vllm_server import VllmSettings, is_installed
from tests.tiny_models import KINDS, NO_EFFECT, Kind, LoraShape, build_adapter, build_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("default"),  # torch and PEFT warn of much that is not ours
]
needs_vllm = pytest.mark.skipif(not is_installed(), reason="vLLM is not installed here")

MESSAGES = (prompts.system_message("ko"), {"role": "user", "content": "바닷가에서 뭘 할까?"})
SCHEMA = {
    "type": "object",
    "properties": {
        "recommend": {"type": "string", "minLength": 1, "maxLength": 12},
        "tags": {"type": "array", "items": {"enum": ["산", "sea"]}, "minItems": 2, "maxItems": 2},
    },
    "required": ["recommend", "tags"],
    "additionalProperties": False,
}
GREEDY = Sampling(temperature=0.0, max_tokens=24)


@dataclass(frozen=True)
class Setup:
    """An engine that runs, and the folders it works with."""

    engine: Engine
    model: Path
    prefix: str  # of adapter names: engines on one server share its names

    def adapter(self, name: str, seed: int = 1, lora: LoraShape | None = None) -> AdapterRef:
        """A new random adapter."""
        full_name = f"{self.prefix}-{name}"
        folder = build_adapter(self.model.parent / full_name, self.model, lora, seed)
        return AdapterRef(full_name, folder)


def _vllm_settings(model: Path, **changes: Any) -> VllmSettings:
    defaults = {
        "log_path": model.parent / f"{model.name}.log",
        "state_path": model.parent / f"{model.name}.state",
        "max_loras": 2,
        "max_lora_rank": 8,
    }
    return VllmSettings(str(model), **defaults | changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def managed(model: Path) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(_vllm_settings(model, sleep_level=0))
    await engine.start()
    await engine.wait_ready(120)
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_url(model: Path, managed: VllmEngine) -> AsyncIterator[VllmEngine]:
    """The same server, given by its URL."""
    server = managed.server
    assert server
    engine = VllmEngine(_vllm_settings(model, url=(server.url,), api_key=server.api_key))
    await engine.start()
    await engine.wait_ready(10)
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def in_process(model: Path) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(TransformersSettings(str(model)))
    await engine.start()
    await engine.wait_ready(120)
    yield engine
    await engine.stop()


@pytest.fixture(
    params=[
        pytest.param("managed", marks=needs_vllm),
        pytest.param("by_url", marks=needs_vllm),
        "in_process",
    ]
)
def setup(request: pytest.FixtureRequest, model: Path) -> Setup:
    return Setup(request.getfixturevalue(request.param), model, request.param)


async def _answer(
    engine: Engine,
    adapter: AdapterRef | None = None,
    sampling: Sampling = GREEDY,
    schema: dict[str, Any] | None = None,
) -> list[Chunk]:
    name = adapter.name if adapter else None
    return [chunk async for chunk in engine.stream(MESSAGES, name, sampling, schema)]


def _text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def test_an_answer_streams_and_ends_with_its_counts(setup: Setup) -> None:
    # Long enough to come in several pieces on a machine that is busy with other things too.
    chunks = await _answer(setup.engine, None, Sampling(temperature=1.0, max_tokens=300, seed=3))
    assert len(chunks) > 3
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason in ("length", "stop")
    assert 10 < (chunks[-1].prompt_tokens or 0) < setup.engine.context_window
    assert 3 < (chunks[-1].completion_tokens or 0) <= 300


async def test_equal_seeds_give_equal_answers(setup: Setup) -> None:
    texts = [_text(await _answer(setup.engine, None, Sampling(seed=seed))) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("seed", range(4))
async def test_the_schema_is_obeyed_in_compact_json(seed: int, setup: Setup) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=100, seed=seed)
    text = _text(chunks := await _answer(setup.engine, None, sampling, SCHEMA))
    value = json.loads(text)
    assert list(value) == ["recommend", "tags"]
    assert 1 <= len(value["recommend"]) <= 12
    assert set(value["tags"]) <= {"산", "sea"}
    assert text.endswith('"]}')
    assert '","tags":["' in text
    assert chunks[-1].finish_reason == "stop"


async def test_an_answer_that_is_cut_says_so(setup: Setup) -> None:
    chunks = await _answer(setup.engine, None, Sampling(max_tokens=4, seed=1), SCHEMA)
    assert (chunks[-1].finish_reason, chunks[-1].completion_tokens) == ("length", 4)


async def test_adapters_answer_differently_and_leave_the_base_alone(setup: Setup) -> None:
    first, second = setup.adapter("first", seed=1), setup.adapter("second", seed=2)
    base_text = _text(await _answer(setup.engine))
    assert (await setup.engine.load(first)).mean_abs_logprob_diff > 0.1
    assert (await setup.engine.load(second)).num_tokens > 10
    assert {first, second} <= set(await setup.engine.loaded())
    alone = [_text(await _answer(setup.engine, adapter)) for adapter in (first, second, None)]
    assert len(set(alone)) == 3
    assert alone[2] == base_text
    # All at once, in one batch: vLLM's own CPU code gives the base someone's adapter here.
    together = await asyncio.gather(
        *(_answer(setup.engine, adapter) for adapter in (None, first, second, None, first))
    )
    assert [_text(chunks) for chunks in together] == [base_text, *alone, alone[0]]


async def test_an_adapter_without_effect_is_refused_and_not_kept(setup: Setup) -> None:
    adapter = setup.adapter("no-effect", lora=NO_EFFECT)
    with pytest.raises(EngineError) as caught:
        await setup.engine.load(adapter)
    assert caught.value.code == "no_effect"
    assert adapter not in await setup.engine.loaded()
    with pytest.raises(EngineError, match="not loaded"):
        await _answer(setup.engine, adapter)


async def test_its_own_answer_is_likelier_than_another_and_an_adapter_changes_that(
    setup: Setup,
) -> None:
    own = _text(await _answer(setup.engine))
    adapter = setup.adapter("scored")
    await setup.engine.load(adapter)
    likely = await setup.engine.score(MESSAGES, own, None)
    assert likely > await setup.engine.score(MESSAGES, own[::-1], None)
    assert likely != pytest.approx(await setup.engine.score(MESSAGES, own, adapter.name), abs=0.01)
    with pytest.raises(EngineError):
        await setup.engine.score(MESSAGES, own, "unknown")


@needs_vllm
async def test_all_engines_find_an_answer_equally_likely(
    managed: VllmEngine, in_process: TransformersEngine
) -> None:
    answer = '{"recommend":"걸어요"}'
    served = await managed.score(MESSAGES, answer, None)
    assert served == pytest.approx(await in_process.score(MESSAGES, answer, None), abs=0.01)


async def test_an_adapter_for_another_model_is_refused(setup: Setup) -> None:
    other = build_model(setup.model.parent / "other", "kanana")
    folder = build_adapter(setup.model.parent / f"{setup.prefix}-foreign", other)
    before = _text(await _answer(setup.engine))
    with pytest.raises(EngineError) as caught:
        await setup.engine.load(AdapterRef(f"{setup.prefix}-foreign", folder))
    assert caught.value.code == "bad_adapter"
    assert _text(await _answer(setup.engine)) == before


async def test_an_answer_in_flight_outlives_the_unloading_of_its_adapter(setup: Setup) -> None:
    adapter = setup.adapter("leaving")
    await setup.engine.load(adapter)
    expected = _text(await _answer(setup.engine, adapter))
    chunks = setup.engine.stream(MESSAGES, adapter.name, GREEDY, None)
    text = (await anext(chunks)).text
    unloading = asyncio.create_task(setup.engine.unload(adapter.name))
    await asyncio.sleep(0)
    text += "".join([chunk.text async for chunk in chunks])
    await unloading
    assert text == expected
    assert adapter not in await setup.engine.loaded()
    with pytest.raises(EngineError, match="not loaded"):
        await _answer(setup.engine, adapter)


async def test_closing_an_answer_frees_the_engine(setup: Setup) -> None:
    endless: Any = setup.engine.stream(MESSAGES, None, Sampling(max_tokens=900, seed=1), None)
    await anext(endless)
    await endless.aclose()
    async with asyncio.timeout(2):
        assert _text(await _answer(setup.engine))


async def test_many_long_questions_at_once_are_all_answered(setup: Setup) -> None:
    # More tokens than fit one step: vLLM's CPU engine dies of a seeded prompt that is cut there.
    questions = [[{"role": "user", "content": f"{number} " + "바다 " * 60}] for number in range(24)]
    sampling = Sampling(max_tokens=3, seed=7)

    async def ask(question: Any) -> Chunk:
        return [item async for item in setup.engine.stream(question, None, sampling, None)][-1]

    last = await asyncio.gather(*map(ask, questions))
    assert sum(chunk.prompt_tokens or 0 for chunk in last) > 2048
    assert all(chunk.completion_tokens for chunk in last)


async def test_a_conversation_that_is_too_long_is_refused(setup: Setup) -> None:
    long = [*MESSAGES[:1], {"role": "user", "content": "가나다라 " * 2000}]
    with pytest.raises(EngineError) as caught:
        async for _ in setup.engine.stream(long, None, GREEDY, None):
            pass
    assert caught.value.code == "too_long"


@needs_vllm
async def test_the_server_is_reachable_from_this_machine_only(managed: VllmEngine) -> None:
    server = managed.server
    assert server is not None
    assert server.pid is not None
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    open_ports = [item for process in family for item in process.net_connections("inet")]
    listening = {item.laddr.ip for item in open_ports if item.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


@needs_vllm
async def test_it_sleeps_after_its_answer_and_wakes_with_its_adapters(
    managed: VllmEngine, model: Path
) -> None:
    """On the CPU the real server only pauses; the way to it and the proof are the same."""
    setup = Setup(managed, model, "sleep")
    adapter = setup.adapter("kept", seed=9)
    await managed.load(adapter)
    before = _text(await _answer(managed, adapter))
    server = managed.server
    assert server is not None
    leader, answering = server.pid, asyncio.create_task(_answer(managed, adapter))
    await asyncio.sleep(0.05)  # it is being answered
    await managed.sleep()
    assert _text(await answering) == before
    with pytest.raises(EngineError, match="sleeps while a training"):
        await _answer(managed, adapter)
    await managed.wake()
    assert (managed.status().state, server.pid) == ("ready", leader)
    assert _text(await _answer(managed, adapter)) == before


@needs_vllm
async def test_an_engine_that_died_comes_back_with_its_adapters(
    model: Path, managed: VllmEngine
) -> None:
    setup = Setup(managed, model, "after-death")
    adapter = setup.adapter("survivor", seed=5)
    await managed.load(adapter)
    expected = _text(await _answer(managed, adapter))
    server = managed.server
    assert server is not None
    assert server.pid is not None
    leader = server.pid
    family = psutil.Process(leader).children(recursive=True)
    running = managed.stream(MESSAGES, adapter.name, Sampling(max_tokens=900, seed=1), None)
    await anext(running)
    os.kill(leader, signal.SIGKILL)
    with pytest.raises(EngineError) as caught:
        async for _ in running:
            pass
    assert caught.value.code == "died"
    for _ in range(600):
        if server.pid not in (leader, None):
            break
        await asyncio.sleep(0.05)
    assert server.pid != leader
    await managed.wait_ready(120)
    assert not any(process.is_running() for process in family)
    assert _text(await _answer(managed, adapter)) == expected


@needs_vllm
async def test_the_architectures_that_people_bring_serve_and_take_adapters(tmp_path: Path) -> None:
    kinds = [kind for kind in KINDS if kind != "llama"]
    results = await asyncio.gather(*(_serve_with_adapter(kind, tmp_path) for kind in kinds))
    assert all(difference > 0.1 for difference in results)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_architectures_answer_in_this_process(kind: Kind, tmp_path: Path) -> None:
    source = build_model(tmp_path / kind, kind)
    base = prepare(resolve(str(source)), tmp_path / "cured")
    kwargs = base.chat_template_kwargs
    engine = TransformersEngine(
        TransformersSettings(base.path_or_hub_id, chat_template_kwargs=kwargs)
    )
    await engine.start()
    await engine.wait_ready(120)
    adapter = AdapterRef("v0001", build_adapter(tmp_path / "adapter", source))
    assert (await engine.load(adapter)).mean_abs_logprob_diff > 0.1
    sampling = Sampling(max_tokens=60, seed=1)
    json.loads(_text(await _answer(engine, adapter, sampling, SCHEMA)))
    await engine.stop()


async def _serve_with_adapter(kind: Kind, folder: Path) -> float:
    """How much an adapter changes the architecture's answers, through the real server."""
    source = build_model(folder / kind, kind)
    base = await asyncio.to_thread(lambda: prepare(resolve(str(source)), folder / "cured"))
    settings = _vllm_settings(
        Path(base.path_or_hub_id),
        chat_template_kwargs=base.chat_template_kwargs,
        extra_args=base.vllm_args,
        log_path=folder / f"{kind}.log",
        state_path=folder / f"{kind}.state",
    )
    engine = VllmEngine(settings)
    await engine.start()
    try:
        await engine.wait_ready(300)
        adapter = AdapterRef("v0001", build_adapter(folder / f"{kind}-adapter", source))
        probe = await engine.load(adapter)
        sampling = Sampling(max_tokens=60, seed=1)
        json.loads(_text(await _answer(engine, adapter, sampling, SCHEMA)))
    finally:
        await engine.stop()
    return probe.mean_abs_logprob_diff
