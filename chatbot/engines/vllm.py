"""The engine on vLLM: a server of our own, or one or several that already run.

With several, an adapter is loaded and proved on all of them before anyone talks to it, and each
answer comes from the one with the fewest in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final

from chatbot.engines.base import (
    AdapterRef,
    Chunk,
    EngineError,
    EngineStatus,
    Probe,
    Sampling,
)
from chatbot.engines.loaded import LoadedAdapter, LoadedAdapters
from chatbot.engines.model_config import find_context_window
from chatbot.engines.probe import (
    check_adapter_folder,
    compare,
    mean_difference,
    mean_of_answer,
)
from chatbot.engines.replica import Replica
from chatbot.engines.upstream import Upstream, build_chat_request
from chatbot.engines.vllm_server import VllmServer, VllmSettings
from chatbot.prompts import PROBE_MESSAGES, Message, assistant_message

logger = logging.getLogger(__name__)
_SAME_NATS: Final = 0.02  # mean difference that half precision may make of the same text
_END_GRACE_S: Final = 5.0  # for a server without answers in flight; it took 0.4 s


class VllmEngine:
    """See the Engine protocol."""

    def __init__(self, settings: VllmSettings) -> None:
        self._settings = settings
        self._adapters = LoadedAdapters()
        self._loading = asyncio.Lock()
        self._changed = asyncio.Event()
        self._said_before: dict[str | None, list[float]] = {}  # the probe, before it slept
        self._context_window = find_context_window(settings.model, settings.max_model_len)
        self._replicas = [
            Replica(settings, url, self._on_ready, self._on_change)
            for url in (settings.url or (None,))
        ]

    @property
    def base_model(self) -> str:
        """Name or path of the base model, as shown to people."""
        return self._settings.model_name or self._settings.model

    @property
    def context_window(self) -> int:
        """Tokens that prompt and answer share."""
        return self._context_window

    @property
    def server(self) -> VllmServer | None:
        """Our own server, for its log and its process; None with servers at URLs."""
        return self._replicas[0].server

    async def start(self) -> None:
        """Begin to warm up in the background; returns at once."""
        for replica in self._replicas:
            replica.start()

    async def stop(self) -> None:
        """Let answers in flight end, up to the grace, then end the server."""
        grace_s = self._settings.shutdown_grace_s
        await asyncio.gather(*(item.in_flight.wait_idle(grace_s) for item in self._replicas))
        await asyncio.gather(*(item.stop(_END_GRACE_S) for item in self._replicas))

    def status(self) -> EngineStatus:
        """Where the engine stands, without waiting."""
        ready = [replica for replica in self._replicas if replica.state == "ready"]
        worst = next((item for item in self._replicas if item.state != "ready"), ready[:1])
        shown = worst if isinstance(worst, Replica) else worst[0]
        state, detail = shown.state, shown.detail
        if ready and shown.state != "ready":
            state = "degraded"
        elif self._adapters.lost and state == "ready":
            state, detail = "degraded", next(iter(self._adapters.lost.values()))
        log_path = None if self._settings.url else self._settings.log_path
        return EngineStatus(state, detail, self.base_model, log_path)

    async def wait_ready(self, timeout_s: float) -> None:
        """Return when ready; raise EngineError (not_ready, died) otherwise."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._ready():
                    if all(replica.state in ("failed", "stopped") for replica in self._replicas):
                        raise EngineError("died", self.status().detail)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise EngineError(
                "not_ready",
                f"The engine was not ready within {timeout_s:g} s: {self.status().detail}",
            ) from None

    async def stream(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        sampling: Sampling,
        schema: dict[str, Any] | None,
    ) -> AsyncGenerator[Chunk]:
        """Generate with the named adapter (None: the base). Closing the iterator stops it."""
        kwargs = self._settings.chat_template_kwargs
        body = build_chat_request(messages, adapter, sampling, schema, kwargs)
        replica = self._least_busy()
        with self._adapters.answering(adapter), replica.in_flight.hold():
            async with aclosing(replica.upstream.stream(body)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def load(self, adapter: AdapterRef) -> Probe:
        """Load on every server and prove that it changes something; all or nothing."""
        async with self._loading:
            if known := self._adapters.find(adapter):
                return known.probe
            await asyncio.to_thread(check_adapter_folder, adapter, self._settings.max_lora_rank)
            replicas = self._ready()
            if not replicas:
                raise EngineError("not_ready", self.status().detail)
            probe = await self._load_on_all(adapter, [item.upstream for item in replicas])
            self._adapters.add(adapter, probe)
            return probe

    async def unload(self, name: str) -> None:
        """Forget the name once its answers in flight are done. Unknown names are no error."""
        if not await self._adapters.wait_idle(name):
            return
        try:
            async with self._loading:
                for replica in self._ready():
                    await replica.upstream.unload(name)
        finally:
            self._adapters.drop(name)

    async def loaded(self) -> tuple[AdapterRef, ...]:
        """Adapters that answer now, without the base."""
        return self._adapters.refs()

    async def score(
        self, messages: Sequence[Message], completion: str, adapter: str | None
    ) -> float:
        """The mean log-probability of the answer's tokens, its end included."""
        kwargs = self._settings.chat_template_kwargs
        replica = self._least_busy()
        with self._adapters.answering(adapter), replica.in_flight.hold():
            begin = await replica.upstream.count_tokens(messages, kwargs)
            answered = (*messages, assistant_message(completion))
            logprobs = await replica.upstream.score(adapter, kwargs, answered)
        return mean_of_answer(logprobs, begin)

    @property
    def can_sleep(self) -> bool:
        """Only our own server sleeps; others may serve somebody else, too."""
        return self.server is not None and self._settings.sleep_level is not None

    async def sleep(self) -> None:
        """Give the card's memory back until wake(); answers in flight end first."""
        level = self._settings.sleep_level
        async with self._loading:
            replica = next(iter(self._ready()), None)
            if replica is None or not self.can_sleep or level is None:
                code = "refused" if not self.can_sleep else "not_ready"
                raise EngineError(code, f"The engine cannot sleep now. {self.status().detail}")
            self._said_before = await self._say_probes(replica.upstream)
            replica.rest("The model sleeps while a training uses the card. It wakes by itself.")
            try:
                await replica.in_flight.wait_idle(self._settings.timeouts.sleep_s)
                await replica.upstream.sleep(level)
            except BaseException:
                replica.resume()
                raise

    async def wake(self) -> None:
        """Wake, prove that nothing was lost, or start the server afresh; returns when ready."""
        replica = self._replicas[0]
        async with self._loading:
            try:
                await replica.upstream.wake()
                trouble = self._find_change(await self._say_probes(replica.upstream))
            except EngineError as error:
                trouble = str(error)
        if trouble:
            logger.warning("The model server is started afresh: %s", trouble)
        replica.resume(trouble)
        await self.wait_ready(self._settings.startup_timeout_s)

    async def _say_probes(self, upstream: Upstream) -> dict[str | None, list[float]]:
        """The probe's log-probabilities by the base and by every adapter."""
        kwargs = self._settings.chat_template_kwargs
        names = (None, *(known.ref.name for known in self._adapters.all()))
        return {name: await upstream.score(name, kwargs) for name in names}

    def _find_change(self, said: dict[str | None, list[float]]) -> str:
        """What is not as before the sleep, in a sentence. Waking has restored weights wrongly,
        and without the adapters, and nobody was told.
        """
        probes = {known.ref.name: known.probe for known in self._adapters.all()}
        for name, logprobs in said.items():
            effect = probes[name].mean_abs_logprob_diff if name in probes else 0.0
            allowed = min(_SAME_NATS, effect / 2) if effect else _SAME_NATS
            if not mean_difference(self._said_before.get(name, []), logprobs) <= allowed:
                who = name or "the base model"
                return f"After waking, {who} no longer said what it had said before."
        return ""

    def _ready(self) -> list[Replica]:
        return [replica for replica in self._replicas if replica.state == "ready"]

    def _least_busy(self) -> Replica:
        ready = self._ready()
        if not ready:
            raise EngineError("not_ready", self.status().detail)
        return min(ready, key=lambda item: item.in_flight.count)

    async def _load_on_all(self, adapter: AdapterRef, upstreams: Sequence[Upstream]) -> Probe:
        try:
            probes = [await self._load_on(adapter, upstream) for upstream in upstreams]
        except EngineError:
            for upstream in upstreams:
                with suppress(EngineError):
                    await upstream.unload(adapter.name)
            raise
        return min(probes, key=lambda probe: probe.mean_abs_logprob_diff)

    async def _load_on(self, adapter: AdapterRef, upstream: Upstream) -> Probe:
        await upstream.load(adapter)
        kwargs = self._settings.chat_template_kwargs
        with_adapter = await upstream.score(adapter.name, kwargs)
        return compare(adapter, await upstream.score(None, kwargs), with_adapter)

    async def _on_ready(self, replica: Replica) -> None:
        """Give a server that has just come up the adapters that it should have."""
        models = await replica.upstream.models()
        lengths = [model.max_model_len for model in models if model.max_model_len]
        self._context_window = min(lengths, default=self._context_window)
        if replica.server:
            await self._warm_up(replica.upstream)
        else:
            self._adopt(
                [AdapterRef(item.name, Path(item.root)) for item in models if item.is_adapter]
            )
        async with self._loading:
            self._adapters.lost.clear()
            for known in self._adapters.all():
                await self._bring_back(known, replica)

    async def _warm_up(self, upstream: Upstream) -> None:
        """One token under a schema: the tables for it took 0.5 s of the first answer."""
        kwargs, schema = self._settings.chat_template_kwargs, {"type": "string"}
        body = build_chat_request(PROBE_MESSAGES, None, Sampling(max_tokens=1), schema, kwargs)
        with suppress(EngineError):  # what is wrong will be said to whoever asks first
            async for _ in upstream.stream(body):
                pass

    def _adopt(self, served: Sequence[AdapterRef]) -> None:
        """Adapters that a server at a URL has from an earlier run of ours."""
        known = {ref.name for ref in self._adapters.refs()}
        for ref in served:
            if ref.name not in known and ref.path.is_absolute() and ref.path.is_dir():
                self._adapters.add(ref, Probe(0.0, 0))

    async def _bring_back(self, known: LoadedAdapter, replica: Replica) -> None:
        try:
            await asyncio.to_thread(check_adapter_folder, known.ref, self._settings.max_lora_rank)
            known.probe = await self._load_on(known.ref, replica.upstream)
        except EngineError as error:
            if error.code not in ("bad_adapter", "no_effect"):
                raise
            logger.warning("Adapter %s did not come back: %s", known.ref.name, error)
            self._adapters.drop(known.ref.name, str(error))

    def _on_change(self) -> None:
        self._changed.set()
