"""Answers that are being written: each runs as a task of its own, and pages follow it.

So a reload finds its answer again, stopping is exact, and the browser gets at most about 30
updates a second however fast the engine is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Literal

from chatbot.answering import FORGOTTEN, FORGOTTEN_CODE
from chatbot.engines.base import EngineError, EngineStatus
from chatbot.recommendation import Challenge
from chatbot.service import (
    ChatError,
    ChatService,
    Failed,
    Finished,
    Progress,
    Started,
    TurnEvent,
    TurnRequest,
)
from chatbot.themes import BaseInfo
from feedback_store.errors import StoreError
from feedback_store.records import Turn

logger = logging.getLogger(__name__)

UPDATE_INTERVAL_S: Final = 0.035
ENGINE_POLL_S: Final = 0.4
GRACE_S: Final = 20.0  # how long an answer goes on that nobody looks at, such as during a reload

Phase = Literal["warming", "asleep", "thinking", "writing", "done"]


@dataclass(eq=False)
class LiveAnswer:
    """One answer on its way; read by the pages that follow it."""

    request: TurnRequest
    is_text: bool = False  # this project answers in free text
    phase: Phase = "thinking"
    conversation_id: str | None = None
    base_info: BaseInfo | None = None
    recommend: str = ""
    challenges: tuple[Challenge, ...] = ()
    turn: Turn | None = None
    error: tuple[str, str] | None = None  # code, sentence
    version: int = 0
    num_followers: int = 0
    alone_timer: asyncio.TimerHandle | None = None  # of the last one that left
    is_kept: bool = False  # goes on without followers: whoever asked reads something else meanwhile
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def wait_begun(self) -> None:
        """Until it is known whether the question was taken, or that the engine has to warm up."""
        while self.phase == "thinking" and not self.base_info:
            await self.changed.wait()

    def touch(self) -> None:
        """Tell the followers that something is new."""
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


class LiveAnswers:
    """All answers being written, found again by person and conversation."""

    def __init__(
        self,
        service: ChatService,
        engine_status: Callable[[], EngineStatus],
        *,
        is_text: bool = False,
    ) -> None:
        self._service = service
        self._is_text = is_text
        self._engine_status = engine_status
        self._answers: list[LiveAnswer] = []
        service.on_forget.append(self.forget)

    def start(self, request: TurnRequest) -> LiveAnswer:
        """Begin to answer in the background."""
        answer = LiveAnswer(request, is_text=self._is_text, conversation_id=request.conversation_id)
        self._answers.append(answer)
        answer.task = asyncio.create_task(self._run(answer))
        answer.task.add_done_callback(lambda task: self._end(answer, task))
        return answer

    def list_of(self, person_id: str) -> list[LiveAnswer]:
        """All that this person waits for, the newest first."""
        return [a for a in reversed(self._answers) if a.request.person_id == person_id]

    def find(self, person_id: str, conversation_id: str | None) -> LiveAnswer | None:
        """The answer that this person waits for in this conversation."""
        for answer in self.list_of(person_id):
            if answer.conversation_id == (conversation_id or None):
                return answer
        return None

    def stop(self, answer: LiveAnswer) -> None:
        """End it; the service stores what was written so far."""
        if answer.task:
            answer.task.cancel()

    def forget(self, person_id: str) -> None:
        """End the person's answers, also those that wait for the engine, and keep nothing."""
        for answer in self._answers:
            if answer.request.person_id == person_id:
                answer.error = (FORGOTTEN_CODE, FORGOTTEN)
                self.stop(answer)

    async def follow(self, answer: LiveAnswer) -> AsyncGenerator[LiveAnswer, None]:
        """Yield at each change, not more often than the interval; the last one is done."""
        answer.num_followers += 1
        if answer.alone_timer:  # else it would cut short the grace of who leaves after this one
            answer.alone_timer.cancel()
        answer.is_kept = False
        try:
            seen = -1
            while True:
                if answer.version == seen:
                    await answer.changed.wait()
                seen = answer.version
                yield answer
                if answer.phase == "done":
                    return
                await asyncio.sleep(UPDATE_INTERVAL_S)
        finally:
            answer.num_followers -= 1
            if not answer.num_followers and answer.phase != "done":
                loop = asyncio.get_running_loop()
                answer.alone_timer = loop.call_later(GRACE_S, self._stop_if_unkept, answer)

    def _stop_if_unkept(self, answer: LiveAnswer) -> None:
        if not answer.is_kept:
            self.stop(answer)

    async def _run(self, answer: LiveAnswer) -> None:
        try:
            await self._wait_for_engine(answer)
            async with aclosing(self._service.answer(answer.request)) as events:
                async for event in events:
                    _apply(answer, event)
                    answer.touch()
        except (ChatError, EngineError, StoreError) as error:
            answer.error = (error.code, str(error))

    def _end(self, answer: LiveAnswer, task: asyncio.Task[None]) -> None:
        """However it ended, also when it was stopped before it began."""
        if task.cancelled():
            answer.error = answer.error or ("stopped", "The answer was stopped.")
        elif error := task.exception():
            logger.error("An answer failed", exc_info=error)
            answer.error = ("unexpected", f"The answer failed: {error}")
        if answer.alone_timer:
            answer.alone_timer.cancel()
        answer.phase = "done"
        self._answers.remove(answer)
        answer.touch()

    async def _wait_for_engine(self, answer: LiveAnswer) -> None:
        phases: dict[str, Phase] = {"starting": "warming", "asleep": "asleep"}
        while phase := phases.get(self._engine_status().state):
            if answer.phase != phase:
                answer.phase = phase
                answer.touch()
            await asyncio.sleep(ENGINE_POLL_S)
        answer.phase = "thinking"
        answer.touch()


def _apply(answer: LiveAnswer, event: TurnEvent) -> None:
    match event:
        case Started():
            answer.conversation_id = event.conversation_id
            answer.base_info = event.base_info
        case Progress():
            answer.phase = "writing"
            answer.recommend, answer.challenges = event.recommend, event.challenges
        case Finished():
            answer.turn = event.turn
        case Failed():
            answer.turn, answer.error = event.turn, (event.code, event.message)
