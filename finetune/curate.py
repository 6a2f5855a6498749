"""From feedback to decided examples: collect what people rated, then accept, fix, exclude, undo.

Feedback becomes pending examples; a person decides on each. What people rated again follows
their last word as long as no curator has touched it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from chatbot.recommendation import (
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
    to_text,
)
from feedback_store.consents import CONSENT_WITHDRAWN
from feedback_store.errors import StoreError
from feedback_store.records import (
    Conversation,
    Example,
    Feedback,
    NewExample,
    Turn,
)
from feedback_store.store import Store
from finetune.checks import DEFAULT_CHECKS, AnswerFormat, CheckSettings, check_example
from finetune.fixes import Fix as Fix  # the screen takes both from here
from finetune.fixes import suggest_fix as suggest_fix
from finetune.flags import Flag
from finetune.redaction import redact_example
from finetune.repair import Repaired, repair

COLLECTOR: Final = "feedback"  # decided_by of what collecting withdrew or put back
CHECKER: Final = "checks"  # decided_by of pending examples whose flags were written again
_PAGE: Final = 500


class CurateError(ValueError):
    """The decision cannot be taken. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class CollectResult:
    """What collecting changed; last_feedback_id is where the next call may go on."""

    num_new: int = 0
    num_withdrawn: int = 0
    num_without_consent: int = 0
    num_unusable: int = 0  # the answer was stopped, failed or cut
    num_known: int = 0  # an equal example of another turn was there already
    last_feedback_id: int = 0


@dataclass(frozen=True)
class Refusal:
    """An example that stayed as it was. `code` is that of the error or the name of the flag, the
    message is a sentence.
    """

    example_id: int
    code: str
    message: str


@dataclass(frozen=True)
class Decision:
    """How many examples changed, and which could not."""

    num_changed: int
    refused: tuple[Refusal, ...] = ()


def _answer_text(answer: Recommendation | None, raw_text: str) -> str:
    return canonical(answer) if answer else raw_text


def _read_correction(feedback: Feedback) -> Recommendation | None:
    if feedback.correction is None:
        return None
    try:
        return from_dict(feedback.correction)
    except RecommendationError:
        return None


def to_example(
    turn: Turn,
    feedback: Feedback,
    conversation: Conversation,
    answer_format: AnswerFormat = "recommendation",
) -> NewExample | None:
    """The example that this feedback asks for, or None.

    A correction is the better answer of a pair, a like makes the answer itself a target, and a
    dislike without a correction makes a regression case. Only finished answers teach.
    """
    repaired = repair(turn.raw_text) if answer_format == "recommendation" else Repaired(None)
    answer = _answer_text(repaired.recommendation, turn.raw_text)
    example = NewExample(
        source="feedback",
        messages=turn.messages,
        completion=answer,
        original_text=turn.raw_text,
        turn_id=turn.turn_id,
        conversation_id=turn.conversation_id,
        person_id=feedback.person_id,
        lang=conversation.lang,
        location=turn.location,
        work_type=turn.work_type,
        category=turn.category,
    )
    corrected = _read_correction(feedback)
    if corrected:
        is_text = answer_format == "text"
        better = to_text(corrected) if is_text else canonical(corrected)
        rejected = answer if turn.raw_text.strip() and answer != better else None
        return replace(example, completion=better, rejected=rejected)
    if turn.status != "ok" or not turn.raw_text.strip():
        return None
    if feedback.rating == "like":
        return replace(example, repairs=repaired.repairs)
    return replace(example, purpose="regression") if feedback.rating == "dislike" else None


class _Collector:
    """One pass over rated turns; counts what it does."""

    def __init__(self, store: Store, settings: CheckSettings) -> None:
        self._store = store
        self._settings = settings
        self.num_new = self.num_withdrawn = self.num_known = 0
        self.num_without_consent = self.num_unusable = 0

    def collect(self, turn: Turn, feedback: Feedback, conversation: Conversation) -> None:
        """Make the queue say what this feedback says."""
        found = to_example(turn, feedback, conversation, self._settings.answer_format)
        wanted = found and redact_example(found)
        if wanted is None and feedback.rating:
            self.num_unusable += 1
        if wanted and not conversation.may_train:
            self.num_without_consent += 1
            wanted = None
        is_there = False
        for example in self._examples_of(turn, feedback.person_id):
            if wanted and _says_the_same(example, wanted, feedback):
                is_there = True
                if _was_withdrawn(example):
                    self._put_back(example)
            elif _may_withdraw(example, feedback):
                self.num_withdrawn += self._store.decide_examples(
                    [example.example_id], state="excluded", decided_by=COLLECTOR
                )
        if wanted and not is_there:
            self._add(wanted)

    def _examples_of(self, turn: Turn, person_id: str) -> list[Example]:
        return [
            example
            for example in self._store.list_turn_examples(turn.turn_id)
            if example.source == "feedback" and example.person_id == person_id
        ]

    def _put_back(self, example: Example) -> None:
        self.num_new += self._store.decide_examples(
            [example.example_id], state="pending", decided_by=COLLECTOR
        )

    def _add(self, wanted: NewExample) -> None:
        flags = check_example(wanted, self._settings)
        added = self._store.add_examples(
            [replace(wanted, flags=tuple(flag.to_dict() for flag in flags))]
        )
        self.num_new += added[0] is not None
        self.num_known += added[0] is None


def _was_withdrawn(example: Example) -> bool:
    return example.state == "excluded" and example.decided_by in (COLLECTOR, CONSENT_WITHDRAWN)


def _is_untouched(example: Example) -> bool:
    return example.decided_by in (None, COLLECTOR, CHECKER)


def _says_the_same(example: Example, wanted: NewExample, feedback: Feedback) -> bool:
    """Whether the example stands for the wanted one, perhaps as a curator has changed it since."""
    if example.purpose != wanted.purpose:
        return False
    if not _is_untouched(example) and (example.decided_at or "") >= feedback.created_at:
        return True
    return example.completion == wanted.completion and example.rejected == wanted.rejected


def _may_withdraw(example: Example, feedback: Feedback) -> bool:
    if example.state != "pending":
        return False
    return _is_untouched(example) or (example.decided_at or "") < feedback.created_at


def collect_feedback(
    store: Store, *, after_feedback_id: int = 0, settings: CheckSettings = DEFAULT_CHECKS
) -> CollectResult:
    """Turn rated and corrected turns into pending examples; safe to call again at any time.

    A call from 0 also notices consents that changed; a later feedback id is quicker.
    """
    collector = _Collector(store, settings)
    last_id = after_feedback_id
    while page := store.list_rated_turns(after_feedback_id=last_id, limit=_PAGE):
        for turn, feedback, conversation in page:
            collector.collect(turn, feedback, conversation)
            last_id = feedback.feedback_id
    return CollectResult(
        num_new=collector.num_new,
        num_withdrawn=collector.num_withdrawn,
        num_without_consent=collector.num_without_consent,
        num_unusable=collector.num_unusable,
        num_known=collector.num_known,
        last_feedback_id=last_id,
    )


def _get_examples(store: Store, example_ids: Iterable[int]) -> Iterator[Example]:
    for example_id in example_ids:
        example = store.get_example(example_id)
        if example is None:
            raise CurateError("not_found", f"There is no example {example_id}; reload the list.")
        yield example


def _flag_dicts(flags: Iterable[Flag]) -> tuple[dict[str, object], ...]:
    return tuple(flag.to_dict() for flag in flags)


def accept_examples(
    store: Store,
    example_ids: Iterable[int],
    *,
    curator: str,
    settings: CheckSettings = DEFAULT_CHECKS,
) -> Decision:
    """Accept for training; one that still holds an error is refused and stays as it was."""
    good, refused = [], []
    for example in _get_examples(store, example_ids):
        errors = [flag for flag in check_example(example, settings) if flag.severity == "error"]
        if errors and example.purpose == "train":
            sentence = f"{errors[0].evidence} {errors[0].fix}"
            refused.append(Refusal(example.example_id, errors[0].name, sentence))
        else:
            good.append(example.example_id)
    changed = store.decide_examples(good, state="accepted", decided_by=curator) if good else 0
    return Decision(changed, tuple(refused))


@dataclass(frozen=True)
class Foreseen:
    """What accept_shown() would make of an example. warnings: names of the row's flags that it
    would be accepted with.
    """

    outcome: Literal["as_it_is", "fixed", "refused"]
    warnings: tuple[str, ...] = ()


def foresee_accepting(example: Example, settings: CheckSettings = DEFAULT_CHECKS) -> Foreseen:
    """Look, and change nothing."""
    fix = find_suggestion(example, settings)
    shown = replace(example, completion=fix.completion) if fix else example
    flags = check_example(shown, settings)
    if example.purpose == "train" and any(flag.severity == "error" for flag in flags):
        return Foreseen("refused")
    warnings = tuple(flag.name for flag in flags if flag.severity != "info")
    return Foreseen("fixed" if fix else "as_it_is", warnings)


def find_more_flags(
    example: Example, fix: Fix | None, settings: CheckSettings = DEFAULT_CHECKS
) -> tuple[dict[str, object], ...]:
    """What the answer that would be accepted is doubted for beside the flags that are kept: those
    are of the answer before its repair, and of the checks of their time.
    """
    shown = replace(example, completion=fix.completion) if fix else example
    known = {flag["name"] for flag in example.flags}
    return _flag_dicts(f for f in check_example(shown, settings) if f.name not in known)


def find_suggestion(example: Example, settings: CheckSettings = DEFAULT_CHECKS) -> Fix | None:
    """What can be put right without a person; a regression case stays as bad as it was."""
    if example.purpose != "train":
        return None
    return suggest_fix(example, answer_format=settings.answer_format)


def accept_shown(
    store: Store,
    example_ids: Iterable[int],
    *,
    curator: str,
    settings: CheckSettings = DEFAULT_CHECKS,
) -> Decision:
    """Accept each as the screen shows it: with its certain repairs where there are any."""
    plain, refused, num_fixed = [], [], 0
    for example in _get_examples(store, example_ids):
        fix = find_suggestion(example, settings)
        if fix is None:
            plain.append(example.example_id)
            continue
        try:
            text = fix.completion
            fix_example(store, example.example_id, text, curator=curator, settings=settings)
            num_fixed += 1
        except (CurateError, StoreError) as error:
            if error.code not in ("duplicate_example", "refused_text") and not isinstance(
                error, CurateError
            ):
                raise
            refused.append(Refusal(example.example_id, error.code, str(error)))
    done = accept_examples(store, plain, curator=curator, settings=settings)
    return Decision(done.num_changed + num_fixed, (*refused, *done.refused))


def exclude_examples(store: Store, example_ids: Iterable[int], *, curator: str) -> Decision:
    """Keep the examples out of every dataset."""
    return Decision(store.decide_examples(example_ids, state="excluded", decided_by=curator))


def fix_example(
    store: Store,
    example_id: int,
    text: str,
    *,
    curator: str,
    settings: CheckSettings = DEFAULT_CHECKS,
) -> Example:
    """Accept the example with another answer; raises CurateError when that is none."""
    example = next(_get_examples(store, [example_id]))
    completion = _read_fix(text, settings)
    fixed = replace(example, completion=completion)
    flags = check_example(fixed, settings)
    errors = [flag for flag in flags if flag.severity == "error"]
    if errors:
        raise CurateError(errors[0].name, f"{errors[0].evidence} {errors[0].fix}")
    store.decide_examples(
        [example_id],
        state="accepted",
        decided_by=curator,
        completion=completion,
        flags=_flag_dicts(flags),
        repairs=tuple(sorted({*example.repairs, "edited"})),
    )
    return next(_get_examples(store, [example_id]))


def _read_fix(text: str, settings: CheckSettings) -> str:
    if settings.answer_format == "text":
        return text.strip()
    repaired = repair(text)
    if repaired.recommendation is None:
        raise CurateError(repaired.flags[0].name, repaired.flags[0].evidence)
    return canonical(repaired.recommendation)


def undo_decision(
    store: Store, example_ids: Iterable[int], *, curator: str | None = None
) -> Decision:
    """Back to what stood there before the last decision, where it was this curator's."""
    return Decision(store.undo_decision(example_ids, decided_by=curator))
