"""What can be wrong with the examples as a set, however good each one is: mixed formats, gaps,
copies, answers that belong to other questions, one template, leakage between the splits.

One pass over the store; a million examples fit into a few hundred megabytes.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES
from feedback_store.records import Example, ExampleFilter
from feedback_store.store import Store
from finetune.checks import DEFAULT_CHECKS, CheckSettings, describe_format
from finetune.curate import CHECKER
from finetune.dataset import is_validation
from finetune.flags import Flag, quote
from finetune.held_out import HELD_OUT
from finetune.near_duplicates import SignatureBook
from finetune.people_checks import PEOPLE_FLAGS, PeopleFlags, check_people
from finetune.readable import read_fields
from finetune.selection import make_dataset_settings

MIN_EXAMPLES: Final = 50  # LIBRARIES: supervised training is offered from here on
MIN_FOR_SHARES: Final = 20  # below that a share says nothing
MAX_TEMPLATE_SHARE: Final = 0.30
MAX_IMBALANCE: Final = 5.0  # largest category over smallest
MIN_PARROT_CHARS: Final = 20  # "네, 좋아요" may answer many questions
_OPENING_CHARS: Final = 15
_MAX_OPENINGS: Final = 200_000
_WRITERS: Final = 16  # threads, so that the store's commits are shared
NUM_CELLS: Final = len(LOCATIONS) * len(WORK_TYPES) * len(CATEGORIES)
SIMILAR_FLAGS: Final = frozenset(
    {"near_duplicate", "answer_of_another_prompt", "contradicting_answers"}
)
MAX_AT_ONCE: Final = 5_000  # examples that are compared while a person waits


@dataclass(frozen=True)
class SetReport:
    """What was found: flags of the whole set, and flags of single examples by their id."""

    num_examples: int
    flags: tuple[Flag, ...]
    row_flags: dict[int, Flag] = field(default_factory=dict)
    people_flags: PeopleFlags = field(default_factory=dict)
    num_by_category: dict[str, int] = field(default_factory=dict)
    # (location, work type, category) → examples; "" where the example does not name it
    num_by_cell: dict[tuple[str, str, str], int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)  # shape the answers came in → examples


class _Survey:
    """What is remembered of each example: some numbers, no text."""

    def __init__(self, settings: CheckSettings) -> None:
        self.is_recommendation = settings.answer_format == "recommendation"
        self.held_share = make_dataset_settings(settings.answer_format).validation_share
        self.ids = array("q")
        self.prompts = array("q")
        self.answers = array("q")
        self.is_held = bytearray()
        self.is_short = bytearray()
        self.is_accepted = bytearray()
        self.categories: list[str] = []
        self.book = SignatureBook()
        self.formats: Counter[str] = Counter()
        self.openings: Counter[str] = Counter()
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.num_unreadable = 0

    def add(self, example: Example) -> None:
        """Look at one example."""
        text = self._readable(example)
        self.ids.append(example.example_id)
        self.prompts.append(_hash(_prompt_text(example)))
        self.answers.append(_hash(text))
        self.is_held.append(is_validation(example.conversation_id, self.held_share))
        self.is_short.append(len(text) < MIN_PARROT_CHARS)
        self.is_accepted.append(example.state == "accepted")
        self.categories.append(sys.intern(example.category))
        self.book.add(text)
        self.openings["".join(text[: 2 * _OPENING_CHARS].split())[:_OPENING_CHARS]] += 1
        if len(self.openings) > _MAX_OPENINGS:  # what a third share begins with comes often
            self.openings = Counter(dict(self.openings.most_common(_MAX_OPENINGS // 2)))
        self.cells[example.location, example.work_type, example.category] += 1

    def _readable(self, example: Example) -> str:
        """The words of the answer without the JSON around them."""
        if not self.is_recommendation:
            return example.completion
        self.formats[describe_format(example.original_text)] += 1
        fields = read_fields(example.completion)
        self.num_unreadable += fields == (example.completion,)
        return "\n".join(fields)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _prompt_text(example: Example) -> str:
    return "\0".join(m["content"] for m in example.messages if m["role"] != "system")


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / total:.0f}%)"


def _check_formats(survey: _Survey) -> Iterator[Flag]:
    total = survey.formats.total()
    if len(survey.formats) < 2:
        return
    parts = ", ".join(f"{name} {100 * n / total:.0f}%" for name, n in survey.formats.most_common())
    if survey.num_unreadable:
        evidence = f"{parts}; {_share(survey.num_unreadable, total)} are not in the one format yet"
        fix = "Fix or exclude the flagged rows: a model that sees two formats learns neither."
        params: dict[str, str | int] = {
            "parts": parts,
            "num": survey.num_unreadable,
            "total": total,
        }
        yield Flag("mixed_formats", "error", evidence, fix, params)
    else:
        fix = "Nothing to do: every answer was brought into the one format."
        yield Flag("mixed_formats", "info", parts, fix, {"num": 0, "total": total})


def _check_size(survey: _Survey) -> Iterator[Flag]:
    count = len(survey.ids)
    if count < MIN_EXAMPLES:
        fix = f"Collect {MIN_EXAMPLES - count} more before a retrain is likely to help."
        params = {"num": count, "left": MIN_EXAMPLES - count}
        yield Flag("too_few_examples", "warning", f"{count} examples", fix, params)


def _check_balance(survey: _Survey) -> Iterator[Flag]:
    if not survey.is_recommendation or len(survey.ids) < MIN_EXAMPLES:
        return
    counts = Counter(survey.categories)
    missing = [option.code for option in CATEGORIES if not counts[option.code]]
    if missing:
        fix = "Add examples of these, or expect weaker answers there."
        params: dict[str, str | int] = {"categories": " ".join(missing)}
        yield Flag("missing_category", "warning", ", ".join(missing), fix, params)
    present = sorted((counts[o.code], o.code) for o in CATEGORIES if counts[o.code])
    if present and present[-1][0] > MAX_IMBALANCE * present[0][0]:
        evidence = f"{present[-1][1]} {present[-1][0]}, {present[0][1]} {present[0][0]}"
        fix = "Add examples of the rare category, or exclude some of the frequent one."
        (few, rare), (many, frequent) = present[0], present[-1]
        params = {"category": frequent, "num": many, "rare_category": rare, "few": few}
        yield Flag("unbalanced_categories", "warning", evidence, fix, params)
    num_filled = sum(1 for cell in survey.cells if all(cell))
    if num_filled < NUM_CELLS:
        evidence = f"{NUM_CELLS - num_filled} of {NUM_CELLS} combinations have no example"
        fix = "Good to know: the model has to generalise to these."
        params = {"num": NUM_CELLS - num_filled, "total": NUM_CELLS}
        yield Flag("missing_combinations", "info", evidence, fix, params)


def _check_template(survey: _Survey) -> Iterator[Flag]:
    total = len(survey.ids)
    if total < MIN_FOR_SHARES:
        return
    opening, count = survey.openings.most_common(1)[0]
    if count > MAX_TEMPLATE_SHARE * total:
        evidence = f"{_share(count, total)} begin with {quote(opening, 30)!r}"
        fix = "Reword some of them: one template in many rows is what the model will repeat."
        params: dict[str, str | int] = {"num": count, "total": total, "text": opening}
        yield Flag("one_template", "warning", evidence, fix, params)


def _check_held_out(survey: _Survey) -> Iterator[Flag]:
    count = sum(number for cell, number in survey.cells.items() if cell in HELD_OUT)
    if count:
        fix = "Good to know: on these the evaluation measures memory as well as skill."
        evidence = f"{count} examples are about combinations that the evaluation asks about"
        yield Flag("asks_held_out", "info", evidence, fix, {"num": count})


def _check_leakage(survey: _Survey, twins: NDArray[np.int64]) -> Iterator[Flag]:
    pairs = ((at, twin) for at, twin in enumerate(twins) if twin >= 0)
    crossing = [at for at, twin in pairs if survey.is_held[at] != survey.is_held[twin]]
    if crossing:
        evidence = f"{len(crossing)} answers are nearly the same in training and validation"
        fix = "Exclude one of each pair, else the validation loss looks better than it is."
        yield Flag("split_leakage", "warning", evidence, fix, {"num": len(crossing)})


def _flag_twins(survey: _Survey, twins: NDArray[np.int64]) -> Iterator[tuple[int, Flag]]:
    """Copies, and answers that stand under another question: the later one of two, unless it is
    accepted already.
    """
    for later, earlier in enumerate(twins):
        if earlier < 0:
            continue
        at, twin = later, int(earlier)
        if survey.is_accepted[at] and not survey.is_accepted[twin]:
            at, twin = twin, at
        flag = _judge_twins(survey, at, twin)
        if flag:
            yield survey.ids[at], flag


def _judge_twins(survey: _Survey, at: int, twin: int) -> Flag | None:
    other = survey.ids[twin]
    is_same_prompt = survey.prompts[at] == survey.prompts[twin]
    if _is_parrot(survey, at, twin) and not is_same_prompt:
        fix = "Write an answer to this prompt, or exclude the row: it teaches parroting."
        name, evidence = "answer_of_another_prompt", f"the answer of example {other}"
        return Flag(name, "warning", evidence, fix, {"other": other})
    if is_same_prompt or survey.is_recommendation:
        fix = "Exclude one of the two, unless the difference matters."
        evidence = f"nearly the same as example {other}"
        return Flag("near_duplicate", "warning", evidence, fix, {"other": other})
    return None


def _is_parrot(survey: _Survey, at: int, twin: int) -> bool:
    """One answer to two questions: of two categories, or of a text task."""
    if survey.is_recommendation:
        ours, theirs = survey.categories[at], survey.categories[twin]
        return bool(ours and theirs) and ours != theirs
    return not survey.is_short[at]


def _flag_contradictions(survey: _Survey, twins: NDArray[np.int64]) -> Iterator[tuple[int, Flag]]:
    """Other answers to the same prompt. Recommendations may differ; facts and personas may not."""
    if survey.is_recommendation:
        return
    first_of: dict[int, int] = {}
    for at, prompt in enumerate(survey.prompts):
        first = first_of.setdefault(prompt, at)
        if first != at and survey.answers[first] != survey.answers[at] and twins[at] != first:
            fix = "Keep the better answer and exclude the other."
            other = survey.ids[first]
            evidence = f"example {other} answers the same prompt differently"
            flag = Flag("contradicting_answers", "warning", evidence, fix, {"other": other})
            yield survey.ids[at], flag


def check_examples(
    examples: Iterable[Example], settings: CheckSettings = DEFAULT_CHECKS
) -> SetReport:
    """Look at the examples as one set."""
    survey = _Survey(settings)
    for example in examples:
        survey.add(example)
    twins = survey.book.find_twins()
    checks = (_check_formats, _check_size, _check_balance, _check_template, _check_held_out)
    flags = [flag for check in checks for flag in check(survey)]
    flags += _check_leakage(survey, twins)
    row_flags = dict(_flag_contradictions(survey, twins))
    row_flags |= dict(_flag_twins(survey, twins))
    order = {"error": 0, "warning": 1, "info": 2}
    return SetReport(
        num_examples=len(survey.ids),
        flags=tuple(sorted(flags, key=lambda flag: order[flag.severity])),
        row_flags=row_flags,
        num_by_category=dict(Counter(filter(None, survey.categories))),
        num_by_cell=dict(survey.cells),
        formats=dict(survey.formats.most_common()),
    )


def check_set(store: Store, settings: CheckSettings = DEFAULT_CHECKS) -> SetReport:
    """Look at all training examples that are not excluded."""
    everything = store.iter_examples(ExampleFilter(purpose="train"))
    report = check_examples((e for e in everything if e.state != "excluded"), settings)
    return replace(report, people_flags=check_people(store))


def write_row_flags(store: Store, report: SetReport) -> int:
    """Put the flags of a report on the pending examples; the number of examples that changed."""
    waiting = ExampleFilter(state="pending")
    found: PeopleFlags = {example_id: (flag,) for example_id, flag in report.row_flags.items()}
    for example_id, flags in report.people_flags.items():
        found[example_id] = (*found.get(example_id, ()), *flags)
    return _write_flags(store, waiting, SIMILAR_FLAGS | PEOPLE_FLAGS, found)


def _write_flags(
    store: Store, waiting: ExampleFilter, names: frozenset[str], found: PeopleFlags
) -> int:
    """Replace the flags of these names on the examples of the filter."""
    changes: list[tuple[int, tuple[dict[str, object], ...]]] = []
    for example in store.iter_examples(waiting):
        kept = tuple(flag for flag in example.flags if flag["name"] not in names)
        flags = (*kept, *(flag.to_dict() for flag in found.get(example.example_id, ())))
        if flags != example.flags:
            changes.append((example.example_id, flags))

    def write(change: tuple[int, tuple[dict[str, object], ...]]) -> int:
        example_id, flags = change
        return store.decide_examples([example_id], state="pending", decided_by=CHECKER, flags=flags)

    with ThreadPoolExecutor(_WRITERS) as pool:
        return sum(pool.map(write, changes))


def refresh_flags(store: Store, settings: CheckSettings = DEFAULT_CHECKS) -> SetReport:
    """Look at the set, and put what was found on the pending examples: after an import, and
    whenever a person asks.
    """
    report = check_set(store, settings)
    write_row_flags(store, report)
    return report


def refresh_new_feedback(store: Store, settings: CheckSettings = DEFAULT_CHECKS) -> None:
    """The same after feedback came in, while a curator waits: signs of poisoning always, copies
    as long as the examples are few enough to compare them all at once.
    """
    if store.count_examples() <= MAX_AT_ONCE:
        refresh_flags(store, settings)
        return
    waiting = ExampleFilter(state="pending", source="feedback")
    _write_flags(store, waiting, PEOPLE_FLAGS, check_people(store))
