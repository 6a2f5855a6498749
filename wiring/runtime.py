"""What runs behind the page and behind the commands: the engine, and the learning side over it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from chatbot.base_models import BaseModel
from chatbot.engines.base import AdapterRef, EngineError, EngineStatus
from feedback_store.errors import StoreError
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError
from finetune.evaluate import EvaluationSettings
from finetune.judge import OpenAIJudge
from finetune.runs import recover_runs
from settings import Settings
from wiring.checks import make_checks
from wiring.engine_facts import describe_engine
from wiring.engines import build_engine, name_base
from wiring.learning import LearningSettings, LearningSide
from wiring.serving import EngineServing

logger = logging.getLogger(__name__)

RECONCILE_EVERY_S: Final = 60.0
RETRY_AFTER_S: Final = 2.0
DAY_S: Final = 24 * 3600.0


class Runtime:
    """The engine on one event loop, kept in step with the alias in the store.

    Make it on the loop that it shall use; start() and stop() frame its life.
    """

    def __init__(self, settings: Settings, store: Store, base: BaseModel) -> None:
        self.settings = settings
        self.store = store
        self.engine = build_engine(settings, base)
        self.serving = EngineServing(
            self.engine,
            asyncio.get_running_loop(),
            name_base(settings.model),
            describe_engine(settings, base),
        )
        self.learning = LearningSide(
            store,
            settings.data_dir,
            self.serving,
            _learning_settings(settings, base),
            self.is_settled,
        )
        self._settled = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Warm up in the background; returns at once."""
        await asyncio.to_thread(recover_runs, self.store, self.settings.data_dir)
        await self.engine.start()
        self._keepers = [asyncio.create_task(self._keep_in_step())]
        if self.settings.retention_days:
            self._keepers.append(asyncio.create_task(self._forget_daily()))

    async def stop(self, timeout_s: float = 10.0) -> None:
        """End a running retrain, then the engine and all its processes."""
        await asyncio.to_thread(self.learning.stop, timeout_s)
        for keeper in self._keepers:
            keeper.cancel()
        await self.engine.stop()

    def is_settled(self) -> bool:
        """Whether the engine answers and has the version that shall answer."""
        return self._settled.is_set() and self.engine.status().state in ("ready", "degraded")

    async def wait_settled(self, timeout_s: float) -> None:
        """Return when settled; raises EngineError when the engine cannot or the time is over."""
        deadline = time.monotonic() + timeout_s
        await self.engine.wait_ready(timeout_s)
        try:
            await asyncio.wait_for(self._settled.wait(), max(1.0, deadline - time.monotonic()))
        except TimeoutError:
            raise EngineError(
                "not_ready", f"The adapter was not loaded within {timeout_s:.0f} seconds."
            ) from None

    def status(self) -> EngineStatus:
        """The engine's status; "starting" also while the current adapter is being loaded."""
        status = self.engine.status()
        if status.state == "ready" and not self._settled.is_set():
            return EngineStatus(
                "starting", "Loading the current adapter.", status.base_model, status.log_path
            )
        if status.state == "ready" and (why := self.learning.waiting()):
            detail = f"The base model answers meanwhile: {why.message}"
            return EngineStatus("degraded", detail, status.base_model, status.log_path)
        return status

    def production(self) -> AdapterRef | None:
        """The adapter of the next turn; None is the base."""
        return self.learning.live()

    async def _keep_in_step(self) -> None:
        """Reconcile as soon as the engine is ready, then every minute."""
        while True:
            pause = RECONCILE_EVERY_S
            try:
                await self.engine.wait_ready(RECONCILE_EVERY_S)
                is_start = not self._settled.is_set()
                await asyncio.to_thread(self.learning.reconcile, is_start=is_start)
                self._settled.set()
                if is_start:
                    await asyncio.to_thread(self.learning.take_up)
            except (EngineError, RegistryError, StoreError) as error:
                is_asleep = self.engine.status().state == "asleep"
                is_waiting = error.code == "not_ready" and not self._settled.is_set()
                level = logging.DEBUG if is_waiting or is_asleep else logging.WARNING
                logger.log(level, "The engine is not in step yet: %s", error)
                pause = RETRY_AFTER_S
            await asyncio.sleep(pause)

    async def _forget_daily(self) -> None:
        """Delete raw conversations whose time is over; once a day, and at every start."""
        while True:
            try:
                days = self.settings.retention_days
                await asyncio.to_thread(self.store.apply_retention, days)
            except StoreError as error:
                logger.warning("Old conversations could not be deleted: %s", error)
            await asyncio.sleep(DAY_S)


def _learning_settings(settings: Settings, base: BaseModel) -> LearningSettings:
    checks = make_checks(settings, base)
    return LearningSettings(
        recipe=settings.recipe,
        min_examples=settings.min_examples,
        auto_promote=settings.auto_promote,
        tracking=settings.wandb,
        checks=checks,
        evaluation=EvaluationSettings(
            num_cases=settings.num_cases,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            answer_format=checks.answer_format,
        ),
        ask_judge=_find_judge(settings),
    )


def _find_judge(settings: Settings) -> OpenAIJudge | None:
    """The judge that is set; its address comes from here only, never from a browser."""
    if not settings.judge_url:
        return None
    return OpenAIJudge(settings.judge_url, settings.judge_model, settings.judge_api_key)
