"""Ask an adapter the evaluation's questions on the engine that will serve it, and measure what
it answers.

The engine comes in as a Serving: this wing never imports one. Answers of an immutable adapter
to the same question on the same engine are never generated twice: the answers of a stored report
are handed back in as `known`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from chatbot.prompts import Message
from finetune.cases import HeldOutCase, held_out_cases
from finetune.checks import AnswerFormat
from finetune.copies import TrainingAnswer
from finetune.metrics import measure
from finetune.report import Answer, Report
from finetune.run_files import current_time


class Cancelled(Exception):
    """The person stopped it."""


@dataclass(frozen=True)
class GenerateRequest:
    """One question to the engine. adapter None is the base; temperature and top_p as people get."""

    messages: Sequence[Message]
    adapter: str | None
    constrained: bool
    max_tokens: int
    seed: int
    temperature: float = 0.7
    top_p: float = 0.9


@dataclass(frozen=True)
class Generated:
    """One generated text; finish_reason is the engine's: stop, length, repetition, error, …"""

    text: str
    finish_reason: str | None
    duration_ms: float


class Serving(Protocol):
    """What learning needs of the engine. Calls block; they may come from any thread."""

    @property
    def base_model(self) -> str:
        """Name or path of the base model, as training finds it, too."""
        ...

    @property
    def engine_facts(self) -> Mapping[str, str]:
        """What besides the question decides an answer: engine, version, dtype, the base's hash."""
        ...

    def load(self, name: str, path: Path) -> float:
        """Load an adapter and prove it: the mean absolute log-probability difference to the base.
        Raises, with nothing loaded, where the adapter is refused or changes nothing. Loading what
        is loaded is no error.
        """
        ...

    def unload(self, name: str) -> None:
        """Forget an adapter once its answers are done; an unknown name is no error."""
        ...

    def loaded(self) -> Sequence[str]:
        """Names of the adapters that are loaded now."""
        ...

    @property
    def can_sleep(self) -> bool:
        """Whether it can give the card's memory back while a training runs."""
        ...

    def sleep(self) -> None:
        """Give the card's memory back until wake(); answers in flight end first."""
        ...

    def wake(self) -> None:
        """Answer as before; returns when it does."""
        ...

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        """Answer all of them concurrently, in their order. One that fails has finish_reason
        "error".
        """
        ...


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is asked, and how the answers are drawn.

    The default asks 96 questions freely and every third one under the schema, too: about 16,000
    tokens, half a minute for the starter model on two cores. What such a number of questions can
    prove stands in docs/gate.md.
    """

    num_cases: int = 96
    constrained_every: int = 3  # every n-th held-out case is also asked with the schema
    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.9
    seed: int = 7
    answer_format: AnswerFormat = "recommendation"
    batch: int = 32  # questions at a time: between batches it can be cancelled

    def __post_init__(self) -> None:
        available = len(held_out_cases(10_000))
        if not 8 <= self.num_cases <= available:
            raise ValueError(
                f"num_cases is {self.num_cases}; the evaluation can ask 8 to {available} questions."
            )
        for name in ("constrained_every", "max_tokens", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")

    @property
    def sampling(self) -> dict[str, float | int]:
        """What influences an answer, besides the question."""
        names = ("max_tokens", "temperature", "top_p", "seed")
        return {name: value for name, value in asdict(self).items() if name in names}


@dataclass(frozen=True)
class Candidate:
    """What is asked: the adapter's name in the engine (None: the base), and what is known of it.

    known: answers of the same adapter from an earlier report. training: what it was trained on.
    """

    name: str | None
    known: Sequence[Answer] = ()
    training: Iterable[TrainingAnswer] = ()


@dataclass(frozen=True)
class Question:
    """One case in one mode."""

    case: HeldOutCase
    constrained: bool
    prompt_key: str

    @property
    def answer_id(self) -> str:
        """Stable across adapters: it pairs the answers of two reports."""
        return f"{self.case.case_id}/{'schema' if self.constrained else 'free'}"


def _prompt_key(case: HeldOutCase, constrained: bool, settings: EvaluationSettings) -> str:
    asked = [list(case.messages), constrained, settings.sampling]
    text = json.dumps(asked, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def list_questions(
    cases: Sequence[HeldOutCase], settings: EvaluationSettings
) -> tuple[Question, ...]:
    """Every case without the schema, a part also with it, regression cases always with both; free
    text has no schema.
    """
    is_text = settings.answer_format == "text"
    questions = []
    for number, case in enumerate(cases):
        modes = [False]
        is_asked_twice = case.kind == "regression" or number % settings.constrained_every == 0
        if is_asked_twice and not is_text:
            modes.append(True)
        questions += [Question(case, mode, _prompt_key(case, mode, settings)) for mode in modes]
    return tuple(questions)


def _request(
    question: Question, adapter: str | None, settings: EvaluationSettings
) -> GenerateRequest:
    # A seed per question: the same for every adapter, different between questions.
    offset = int(question.prompt_key[:6], 16)
    return GenerateRequest(
        messages=question.case.messages,
        adapter=adapter,
        constrained=question.constrained,
        max_tokens=settings.max_tokens,
        seed=settings.seed + offset,
        temperature=settings.temperature,
        top_p=settings.top_p,
    )


def _answer(question: Question, generated: Generated) -> Answer:
    return Answer(
        answer_id=question.answer_id,
        case_id=question.case.case_id,
        constrained=question.constrained,
        prompt_key=question.prompt_key,
        prompt=question.case.messages[-1]["content"],
        text=generated.text,
        finish_reason=generated.finish_reason,
        duration_ms=round(generated.duration_ms, 1),
    )


def _never() -> None:
    return None


def _ignore(fraction: float) -> None:
    del fraction


@dataclass(frozen=True)
class Watch:
    """on_fraction hears how far it is; check_cancelled raises Cancelled when it is to stop."""

    on_fraction: Callable[[float], None] = _ignore
    check_cancelled: Callable[[], None] = _never


SILENT = Watch()


def _ask(
    serving: Serving,
    candidate: Candidate,
    questions: Sequence[Question],
    settings: EvaluationSettings,
    watch: Watch,
) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    for start in range(0, len(questions), settings.batch):
        batch = questions[start : start + settings.batch]
        watch.check_cancelled()
        requests = [_request(question, candidate.name, settings) for question in batch]
        generated = serving.generate(requests)
        answers |= {
            question.answer_id: _answer(question, text)
            for question, text in zip(batch, generated, strict=True)
            if text.finish_reason != "error"  # the engine's fault, not the adapter's: missing
        }
        watch.on_fraction((start + len(batch)) / len(questions))
    watch.check_cancelled()
    return answers


def _reusable(known: Iterable[Answer], questions: Sequence[Question]) -> dict[str, Answer]:
    keys: Mapping[str, str] = {question.answer_id: question.prompt_key for question in questions}
    return {
        answer.answer_id: answer
        for answer in known
        if keys.get(answer.answer_id) == answer.prompt_key
    }


def evaluate(
    serving: Serving,
    candidate: Candidate,
    cases: Sequence[HeldOutCase],
    settings: EvaluationSettings,
    watch: Watch = SILENT,
) -> Report:
    """Ask what is not known yet, and measure everything."""
    started = time.monotonic()
    questions = list_questions(cases, settings)
    answers = _reusable(candidate.known, questions)
    missing = [question for question in questions if question.answer_id not in answers]
    answers |= _ask(serving, candidate, missing, settings, watch)
    ordered = [answers[q.answer_id] for q in questions if q.answer_id in answers]
    found = measure(ordered, cases, candidate.training, settings.answer_format)
    return Report(
        adapter=candidate.name or "",
        base_model=serving.base_model,
        sampling=settings.sampling,
        engine=dict(serving.engine_facts),
        answer_format=settings.answer_format,
        answers=tuple(ordered),
        metrics=found.metrics,
        outcomes=found.outcomes,
        failures=found.failures,
        num_questions=len(questions),
        created_at=current_time(),
        duration_s=round(time.monotonic() - started, 3),
    )
