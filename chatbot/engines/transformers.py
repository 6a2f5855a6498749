"""The engine in this process, for machines without vLLM: one model, one thread, one answer at a
time.

The thread imports torch, so that neither importing this nor starting the engine waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chatbot.engines.base import (
    AdapterRef,
    Chunk,
    EngineError,
    EngineState,
    EngineStatus,
    Probe,
    Sampling,
)
from chatbot.engines.in_flight import InFlight
from chatbot.engines.loaded import LoadedAdapters
from chatbot.engines.model_config import find_context_window
from chatbot.engines.probe import check_adapter_folder, compare, mean_of_answer
from chatbot.prompts import Message, assistant_message

if TYPE_CHECKING:
    from chatbot.engines.torch_model import TorchModel

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_SIGN_OF_LIFE_S: Final = 2.0  # those in line hear that the engine works as often as this


@dataclass(frozen=True)
class TransformersSettings:
    """What runs in this process."""

    model: str  # a folder, or a hub id
    model_name: str = ""  # what people see; empty: the same as model
    max_model_len: int | None = None
    max_lora_rank: int = 512
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    num_threads: int = max(1, (os.cpu_count() or 2) - 1)  # one core stays free for the app
    shutdown_grace_s: float = 30.0


@dataclass(frozen=True)
class GenerateJob:
    """One answer to generate."""

    messages: Sequence[Message]
    adapter: str | None
    sampling: Sampling
    schema: dict[str, Any] | None
    cancelled: threading.Event = field(default_factory=threading.Event)


class TransformersEngine:
    """See the Engine protocol."""

    def __init__(self, settings: TransformersSettings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "engine")
        self._context_window = find_context_window(settings.model, settings.max_model_len)
        self._adapters = LoadedAdapters()
        self._loading = asyncio.Lock()
        self._changed = asyncio.Event()
        self._model: TorchModel | None = None
        self._start: asyncio.Task[None] | None = None
        self._in_flight = InFlight()
        self._num_sent = 0  # pieces of all answers; only ever compared
        self._is_stopping = threading.Event()
        self._state: EngineState = "stopped"
        self._detail = "The engine is stopped."

    @property
    def base_model(self) -> str:
        """Name or path of the base model, as shown to people."""
        return self._settings.model_name or self._settings.model

    @property
    def context_window(self) -> int:
        """Tokens that prompt and answer share."""
        return self._context_window

    async def start(self) -> None:
        """Begin to load the model in the background; returns at once."""
        if self._start is None:
            self._set("starting", "The engine is warming up.")
            self._start = asyncio.create_task(self._load_model())

    async def stop(self) -> None:
        """Let answers in flight end, up to the grace, then end the thread."""
        await self._in_flight.wait_idle(self._settings.shutdown_grace_s)
        self._is_stopping.set()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        if self._start:
            await asyncio.gather(self._start, return_exceptions=True)
        self._model = None
        self._set("stopped", "The engine is stopped.")

    def status(self) -> EngineStatus:
        """Where the engine stands, without waiting."""
        return EngineStatus(self._state, self._detail, self.base_model)

    async def wait_ready(self, timeout_s: float) -> None:
        """Return when ready; raise EngineError (not_ready, died) otherwise."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._state != "ready":
                    if self._state in ("failed", "stopped"):
                        raise EngineError("died", self._detail)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise EngineError(
                "not_ready", f"The engine was not ready within {timeout_s:g} s: {self._detail}"
            ) from None

    async def stream(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        sampling: Sampling,
        schema: dict[str, Any] | None,
    ) -> AsyncGenerator[Chunk]:
        """Generate with the named adapter (None: the base). Closing the iterator stops it."""
        model, job = self._ready_model(), GenerateJob(messages, adapter, sampling, schema)
        with self._adapters.answering(adapter), self._in_flight.hold():
            try:
                chunks: asyncio.Queue[Chunk | EngineError] = asyncio.Queue()
                send = self._sender_to(chunks)
                self._thread.submit(_run_job, model, job, send, self._is_stopping)
                is_done = False
                while not is_done:
                    item = await self._receive(chunks)
                    if isinstance(item, EngineError):
                        raise item
                    yield item
                    is_done = item.finish_reason is not None
            finally:
                job.cancelled.set()

    def _sender_to(
        self, chunks: asyncio.Queue[Chunk | EngineError]
    ) -> Callable[[Chunk | EngineError], None]:
        """For the thread: gives a piece to whoever waits for it on the loop."""
        loop = asyncio.get_running_loop()

        def send(item: Chunk | EngineError) -> None:
            self._num_sent += 1
            loop.call_soon_threadsafe(chunks.put_nowait, item)

        return send

    async def _receive(self, chunks: asyncio.Queue[Chunk | EngineError]) -> Chunk | EngineError:
        """The next piece; or, while the thread gets on with somebody else's answer, that it does:
        only a thread that stands still may cost those in line their patience.
        """
        while True:
            seen = self._num_sent
            try:
                async with asyncio.timeout(_SIGN_OF_LIFE_S):
                    return await chunks.get()
            except TimeoutError:
                if self._num_sent != seen:
                    return Chunk("", is_waiting=True)

    async def load(self, adapter: AdapterRef) -> Probe:
        """Load beside the others and prove that it changes something."""
        async with self._loading:
            if known := self._adapters.find(adapter):
                return known.probe
            model = self._ready_model()
            await asyncio.to_thread(check_adapter_folder, adapter, self._settings.max_lora_rank)
            probe = await self._in_thread(lambda: _load_and_prove(model, adapter))
            self._adapters.add(adapter, probe)
            return probe

    async def unload(self, name: str) -> None:
        """Forget the name once its answers in flight are done. Unknown names are no error."""
        if not await self._adapters.wait_idle(name):
            return
        try:
            async with self._loading:
                model = self._ready_model()
                await self._in_thread(lambda: model.unload(name))
        finally:
            self._adapters.drop(name)

    async def loaded(self) -> tuple[AdapterRef, ...]:
        """Adapters that answer now, without the base."""
        return self._adapters.refs()

    @property
    def can_sleep(self) -> bool:
        """It shares the process with the page, and never sleeps."""
        return False

    async def sleep(self) -> None:
        """See can_sleep."""
        raise EngineError("refused", "The in-process engine cannot sleep.")

    async def wake(self) -> None:
        """It is always awake."""

    async def score(
        self, messages: Sequence[Message], completion: str, adapter: str | None
    ) -> float:
        """The mean log-probability of the answer's tokens, its end included."""
        model, answered = self._ready_model(), (*messages, assistant_message(completion))
        with self._adapters.answering(adapter), self._in_flight.hold():
            # Both in the thread: the tokenizer is not safe to use from two of them.
            logprobs, begin = await self._in_thread(
                lambda: (model.score(adapter, answered), model.count_tokens(messages))
            )
        return mean_of_answer(logprobs, begin)

    async def _load_model(self) -> None:
        try:
            self._model = await self._in_thread(lambda: _build_model(self._settings))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("The engine cannot be started")
            self._set("failed", f"The model cannot be loaded: {error}")
        else:
            self._set("ready", "The engine is ready.")

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _ready_model(self) -> TorchModel:
        if self._model is None:
            raise EngineError("not_ready", self._detail)
        return self._model

    def _set(self, state: EngineState, detail: str) -> None:
        self._state, self._detail = state, detail
        self._changed.set()


def _build_model(settings: TransformersSettings) -> TorchModel:
    from chatbot.engines.torch_model import TorchModel  # imports torch, here in the thread

    return TorchModel(settings)


def _load_and_prove(model: TorchModel, adapter: AdapterRef) -> Probe:
    model.load(adapter)
    try:
        return compare(adapter, model.score(None), model.score(adapter.name))
    except EngineError:
        model.unload(adapter.name)
        raise


def _run_job(
    model: TorchModel,
    job: GenerateJob,
    send: Callable[[Chunk | EngineError], object],
    is_stopping: threading.Event,
) -> None:
    """In the thread: generate and send on. Whoever waits always gets an end."""
    if job.cancelled.is_set():
        return
    send(Chunk("", is_waiting=True))  # it begins: from now on the first word may be waited for
    try:
        for chunk in model.generate(job):
            send(chunk)
            if is_stopping.is_set():
                job.cancelled.set()
    except EngineError as error:
        send(error)
    except Exception as error:
        logger.exception("The model failed while answering")
        send(EngineError("died", f"The model failed while answering: {error}"))
