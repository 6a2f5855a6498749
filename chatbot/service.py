"""One turn end to end: check, understand, generate, show, store. And what people do with it after:
rate, correct, retry, look it up again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Final, TypeVar

from chatbot.answering import FORGOTTEN, FORGOTTEN_CODE, Answering, OpenAnswers
from chatbot.conversation import (
    TokenGauge,
    count_least,
    count_message_tokens,
    fit_messages,
)
from chatbot.engines.base import AdapterRef, Engine, EngineStatus, Sampling
from chatbot.errors import ChatError, NotYours, TooLongForModel
from chatbot.feedback import check_correction, check_rating
from chatbot.generation import Generation, PaceSettings
from chatbot.limits import AnswerLimits, LimitSettings
from chatbot.outcome import STOPPED, Verdict, judge, to_new_turn
from chatbot.plan import Plan, get_own_conversation, get_own_turn, make_plan
from chatbot.prompts import Message, system_message
from chatbot.recommendation import Recommendation, json_schema
from chatbot.turn_events import Failed, Finished, Progress, Started, TurnEvent, TurnRequest
from chatbot.turn_request import check_request
from feedback_store.errors import StoreError
from feedback_store.records import Conversation, Feedback, NewFeedback, NewTurn, Rating, Turn
from feedback_store.store import Store

__all__ = [
    "ChatError",
    "ChatService",
    "ChatSettings",
    "Failed",
    "Finished",
    "NotYours",
    "Progress",
    "Started",
    "TurnEvent",
    "TurnRequest",
]

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# For the process that serves: a thread that wants the lock of Python from a busy event loop gets it
# after 5 ms by default, and writing a turn wants it several times.
SWITCH_INTERVAL_S: Final = 0.0005
_MIN_ANSWER: Final = 64  # tokens that an answer gets even when the prompt leaves less


@dataclass(frozen=True)
class ChatSettings:
    """How answers are generated and how much may be asked."""

    sampling: Sampling = field(default_factory=Sampling)
    is_constrained: bool = True  # hold the answer to the JSON schema
    pace: PaceSettings = field(default_factory=PaceSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)


@dataclass(frozen=True)
class _Attempt:
    """One call of the engine."""

    messages: list[Message]
    sampling: Sampling
    generation: Generation
    answering: Answering


class ChatService:
    """Answers, stores, and takes feedback. All answers run on one event loop; the rest may be
    called from any thread.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        production: Callable[[], AdapterRef | None],
        settings: ChatSettings | None = None,
        *,
        status: Callable[[], EngineStatus] | None = None,
        choose_adapter: Callable[[str], AdapterRef | None] | None = None,
    ) -> None:
        self.store = store
        self.engine = engine
        self.production = production
        # Who answers a conversation, by its id: another than production while one is on trial.
        self.choose_adapter = choose_adapter or (lambda _conversation_id: production())
        self.status = status or engine.status  # may wait for more than the engine itself
        self.settings = settings or ChatSettings()
        self.limits = AnswerLimits(self.settings.limits)
        self.observers: list[Callable[[Turn], None]] = []  # told of every stored turn, on the loop
        # Told of whom to forget, before anything is deleted, on the loop.
        self.on_forget: list[Callable[[str], None]] = []
        self._open = OpenAnswers()
        self._gauge = TokenGauge()
        self._schema = json_schema() if self.settings.is_constrained else None
        self._saving: dict[asyncio.Task[Turn], str] = {}  # and whose turn it is
        self._forgetter = ThreadPoolExecutor(1, "forget")
        self._is_closed = False

    async def close(self) -> None:
        """Take no more turns and wait until all that ended are stored."""
        self._is_closed = True
        while self._saving:
            await asyncio.wait(self._saving)
        self._forgetter.shutdown(wait=False)

    async def forget(self, person_id: str, delete: Callable[[], _Result]) -> _Result:
        """Run delete() in a thread when nothing of the person is on its way into the store: their
        answers end unsaved, what is being saved is saved first, and no answer begins meanwhile.
        """
        with self._open.forgetting(person_id) as writing:
            for tell in self.on_forget:
                tell(person_id)
            await asyncio.gather(*(generation.stop() for generation in writing))
            while saving := [task for task, owner in self._saving.items() if owner == person_id]:
                await asyncio.wait(saving)
            # Whoever asked may leave: what was begun is finished before new answers may begin. A
            # thread of its own: a command waits for this in one of the pool's, which could be all.
            loop = asyncio.get_running_loop()
            deleting = loop.run_in_executor(self._forgetter, delete)
            try:
                return await asyncio.shield(deleting)
            finally:
                await asyncio.wait([deleting])

    def is_forgetting(self, person_id: str) -> bool:
        """Whether the person's data is being deleted right now."""
        return self._open.is_forgetting(person_id)

    async def answer(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """The events of one turn; raises ChatError before the first. Every outcome is stored, and
        closing the iterator stops the generation and stores what came as "stopped".
        """
        request = check_request(request)
        self._check_ready()
        place = self.limits.answering(
            request.person_id,
            is_limited=request.origin != "studio",
            is_alongside=request.is_alongside,
        )
        with place, self._open.hold(request.person_id) as answering:
            await asyncio.sleep(0)  # who is refused behind this one is told before it is planned
            try:
                # A few reads by key, on the loop itself: a thread would cost the first token more.
                plan = make_plan(self.store, request, self._choose)
            except StoreError as error:
                raise ChatError(error.code, str(error)) from error
            async with aclosing(self._run(plan, answering)) as events:
                async for event in events:
                    yield event

    def _check_ready(self) -> None:
        if self._is_closed:
            raise ChatError("shutting_down", "The application is shutting down.")
        status = self.status()
        if status.state not in ("ready", "degraded"):
            raise ChatError("engine_not_ready", status.detail, retry_after_s=5)

    def _choose(self, request: TurnRequest, conversation_id: str) -> str:
        """The version of this turn; asked once, so a swap never changes an answer in flight."""
        if request.adapter is not None:
            return request.adapter
        chosen = self.choose_adapter(conversation_id)
        return chosen.name if chosen else ""

    async def _run(self, plan: Plan, answering: Answering) -> AsyncGenerator[TurnEvent, None]:
        if answering.is_forgotten:
            raise ChatError(FORGOTTEN_CODE, FORGOTTEN, retry_after_s=5)
        attempt = self._begin(plan, answering)
        is_stopped = True
        try:
            yield Started(plan.conversation.conversation_id, plan.adapter, plan.base_info)
            while True:
                async for progress in attempt.generation.updates():
                    yield progress
                shorter = _shorten(plan, attempt)
                if shorter is None:
                    break
                plan, attempt = shorter, self._begin(shorter, answering)
            is_stopped = False
        finally:
            if is_stopped and not answering.is_forgotten:
                # Saved before anything is awaited, which a cancellation may forbid.
                self._save(plan, attempt, STOPPED)
            await attempt.generation.stop()
        yield await self._conclude(plan, attempt)

    def _begin(self, plan: Plan, answering: Answering) -> _Attempt:
        sampling = self.settings.sampling
        window, system = self.engine.context_window, system_message(plan.request.lang)
        if count_message_tokens([system, plan.question], count_least) >= window:
            raise TooLongForModel
        messages = fit_messages(
            system,
            plan.history,
            plan.question,
            count_tokens=self._gauge.count,
            context_window=window,
            max_tokens=sampling.max_tokens,
        )
        room = window - count_message_tokens(messages, self._gauge.count)
        if room < sampling.max_tokens:
            sampling = replace(
                sampling, max_tokens=min(sampling.max_tokens, max(room, _MIN_ANSWER))
            )
        chunks = self.engine.stream(messages, plan.adapter or None, sampling, self._schema)
        answering.generation = Generation(chunks, self.settings.pace)
        return _Attempt(messages, sampling, answering.generation, answering)

    async def _conclude(self, plan: Plan, attempt: _Attempt) -> TurnEvent:
        if attempt.answering.is_forgotten:
            return Failed(FORGOTTEN_CODE, FORGOTTEN, None)
        if _is_too_long(attempt):  # trying again would be of no use, so nothing is kept to try on
            error = TooLongForModel()
            return Failed(error.code, error.message, None)
        verdict = judge(attempt.generation)
        if attempt.generation.prompt_tokens:
            self._gauge.learn(attempt.messages, attempt.generation.prompt_tokens)
        try:
            turn = await asyncio.shield(self._save(plan, attempt, verdict))
        except StoreError as error:
            return Failed(error.code, str(error), None)
        if verdict.code:
            return Failed(verdict.code, verdict.message, turn)
        return Finished(turn, verdict.recommendation)

    def _save(self, plan: Plan, attempt: _Attempt, verdict: Verdict) -> asyncio.Task[Turn]:
        """Store the turn, whatever happens to the caller meanwhile."""
        template = NewTurn(
            conversation_id=plan.conversation.conversation_id,
            mode=plan.request.mode,
            user_text=plan.user_text,
            **asdict(plan.base_info),
            messages=tuple(
                {"role": message["role"], "content": message["content"]}
                for message in attempt.messages
            ),
            raw_text="",
            recommendation=None,
            status=verdict.status,
            adapter=plan.adapter,
            base_model=self.engine.base_model,
            prompt_hash="",
            sampling={**asdict(attempt.sampling), "is_constrained": self._schema is not None},
            retry_of=plan.retry_of,
        )
        new_turn = to_new_turn(attempt.generation, template, verdict)
        task = asyncio.create_task(self._write(plan, new_turn))
        self._saving[task] = plan.request.person_id
        task.add_done_callback(self._on_saved)
        return task

    async def _write(self, plan: Plan, new_turn: NewTurn) -> Turn:
        given = plan.request.may_train
        changed = given if given != plan.conversation.may_train else None
        begun = plan.conversation if plan.is_new else None  # one deleted meanwhile stays deleted
        writing = self.store.append_turn(new_turn, begun=begun, may_train=changed)
        return await asyncio.wrap_future(writing)

    def _on_saved(self, task: asyncio.Task[Turn]) -> None:
        self._saving.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error:
            logger.error("A turn could not be stored", exc_info=error)
            return
        for observe in self.observers:
            observe(task.result())

    def rate(
        self,
        turn_id: int,
        person_id: str,
        rating: Rating | None,
        reasons: Sequence[str] = (),
        comment: str = "",
    ) -> Feedback:
        """Thumbs up or down with reasons; None takes them back. A correction given before stays."""
        get_own_turn(self.store, turn_id, person_id)
        reasons, comment = check_rating(rating, reasons, comment)
        before = self.store.get_feedback(turn_id, person_id)
        return self.store.set_feedback(
            NewFeedback(
                turn_id=turn_id,
                person_id=person_id,
                rating=rating,
                reasons=tuple(reasons),
                comment=comment,
                correction=before.correction if before else None,
            )
        )

    def correct(self, turn_id: int, person_id: str, better: Recommendation) -> Feedback:
        """A better answer in place of the given one; a rating given before stays."""
        turn, _ = get_own_turn(self.store, turn_id, person_id)
        correction = check_correction(turn, better)
        before = self.store.get_feedback(turn_id, person_id)
        return self.store.set_feedback(
            NewFeedback(
                turn_id=turn_id,
                person_id=person_id,
                rating=before.rating if before else None,
                reasons=before.reasons if before else (),
                comment=before.comment if before else "",
                correction=correction,
            )
        )

    def open_conversation(
        self, conversation_id: str, person_id: str
    ) -> tuple[Conversation, list[Turn], dict[int, Feedback]]:
        """A conversation with its turns and the person's feedback by turn_id."""
        conversation = get_own_conversation(self.store, conversation_id, person_id)
        turns = self.store.list_turns(conversation_id)
        found = {turn.turn_id: self.store.get_feedback(turn.turn_id, person_id) for turn in turns}
        return conversation, turns, {turn_id: entry for turn_id, entry in found.items() if entry}


def _shorten(plan: Plan, attempt: _Attempt) -> Plan | None:
    """The plan with half the earlier turns, if the engine found the prompt too long."""
    if not _is_too_long(attempt) or not plan.history or attempt.answering.is_forgotten:
        return None
    return replace(plan, history=plan.history[(len(plan.history) + 1) // 2 :])


def _is_too_long(attempt: _Attempt) -> bool:
    error = attempt.generation.error
    return error is not None and error.code == "too_long"
