"""Deciding on everything that the filter matches: what would become of it, then one click."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Final, Literal

from chatbot.ui.curate_flags import flag_label
from chatbot.ui.diff_view import to_readable
from chatbot.ui.folds import render_fold
from chatbot.ui.i18n import t
from chatbot.ui.icons import icon
from feedback_store.records import Example, ExampleFilter
from feedback_store.store import Store
from finetune.checks import CheckSettings
from finetune.curate import Foreseen, find_suggestion, foresee_accepting
from finetune.people_checks import PEOPLE_FLAGS
from finetune.set_checks import SIMILAR_FLAGS

MAX_BULK: Final = 5_000  # examples decided on at once
NUM_SAMPLES: Final = 5
_LINE_CHARS: Final = 90
_OF_SET: Final = SIMILAR_FLAGS | PEOPLE_FLAGS  # seen only beside other examples

Deed = Literal["accept", "exclude"]
_TARGETS: Final = {"accept": "accepted", "exclude": "excluded"}  # what is there already stays


@dataclass(frozen=True)
class Doubt:
    """One doubt of a plan, and the examples that would be accepted with it."""

    name: str
    example_ids: frozenset[int]


@dataclass(frozen=True)
class BulkPlan:
    """What one click would do: these very examples, no others that come meanwhile."""

    deed: Deed
    seen: Mapping[int, int]  # example id → what it was when the plan was made
    num_matching: int
    num_held: int = 0  # of other curators: left alone
    num_fixed: int = 0  # accepted with a certain repair
    num_refused: int = 0  # hold an error that only a person can put right
    warnings: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # id → names of flags
    samples: tuple[Example, ...] = ()

    @property
    def example_ids(self) -> tuple[int, ...]:
        """What the plan is about."""
        return tuple(self.seen)

    @property
    def num_decided(self) -> int:
        """How many one click would decide on."""
        return len(self.seen) - self.num_refused

    @property
    def num_clean(self) -> int:
        """How many of them no check doubts."""
        return self.num_decided - len(self.warnings)

    def find_doubt(self, name: str) -> Doubt | None:
        """The examples with a doubt of this name."""
        found = frozenset(id_ for id_, names in self.warnings.items() if name in names)
        return Doubt(name, found) if found else None

    def without_warnings(self) -> BulkPlan:
        """The plan for those that no check doubts."""
        kept = {id_: number for id_, number in self.seen.items() if id_ not in self.warnings}
        return replace(self, seen=kept, warnings={})


def _sum_up(example: Example) -> int:
    """What a decision is about: another state or answer gives another number."""
    return hash((example.state, example.completion))


def find_unchanged(store: Store, plan: BulkPlan, curator: str) -> tuple[int, ...]:
    """What is still as it was planned: nobody else decided on it meanwhile, nor holds it now."""
    held = store.held_by_others(curator)
    found = (store.get_example(example_id) for example_id in plan.seen if example_id not in held)
    return tuple(
        example.example_id
        for example in found
        if example and _sum_up(example) == plan.seen[example.example_id]
    )


def make_plan(
    store: Store, deed: Deed, wanted: ExampleFilter, curator: str, checks: CheckSettings
) -> BulkPlan:
    """Look at what the filter matches, as far as one click goes."""
    page = store.find_examples(wanted, sort="oldest", limit=MAX_BULK)
    held = store.held_by_others(curator)
    free = [example for example in page.items if example.example_id not in held]
    examples = [example for example in free if example.state != _TARGETS[deed]]
    foreseen = [foresee_accepting(e, checks) for e in examples] if deed == "accept" else []
    outcomes = [found.outcome for found in foreseen]
    pairs = list(zip(examples, foreseen, strict=False))  # to exclude needs no foresight
    doubts = {example.example_id: _find_doubts(example, found) for example, found in pairs}
    refused = {example.example_id for example, found in pairs if found.outcome == "refused"}
    warnings = {example_id: names for example_id, names in doubts.items() if names}
    samples = _pick([e for e in examples if e.example_id not in refused], warnings)
    return BulkPlan(
        deed=deed,
        seen={example.example_id: _sum_up(example) for example in examples},
        num_matching=page.total,
        num_held=len(page.items) - len(free),
        num_fixed=outcomes.count("fixed"),
        num_refused=len(refused),
        warnings=warnings,
        samples=tuple(_repair(e, checks) for e in samples) if deed == "accept" else samples,
    )


def _repair(example: Example, checks: CheckSettings) -> Example:
    """With the answer that it would be accepted with."""
    fix = find_suggestion(example, checks)
    return replace(example, completion=fix.completion) if fix else example


def _find_doubts(example: Example, foreseen: Foreseen) -> tuple[str, ...]:
    """What a person would be warned of if the example came alone."""
    if foreseen.outcome == "refused":
        return ()
    of_set = (str(flag["name"]) for flag in example.flags if flag["name"] in _OF_SET)
    return tuple(dict.fromkeys((*foreseen.warnings, *of_set)))


def _pick(examples: Sequence[Example], warnings: Mapping[int, object]) -> tuple[Example, ...]:
    """Some from the whole range, not only the first; doubtful ones among them first."""
    doubtful = [example for example in examples if example.example_id in warnings]
    others = [example for example in examples if example.example_id not in warnings]
    num_doubtful = min(len(doubtful), max(NUM_SAMPLES - 2, NUM_SAMPLES - len(others)))
    return (*_spread(doubtful, num_doubtful), *_spread(others, NUM_SAMPLES - num_doubtful))


def _spread(examples: Sequence[Example], count: int) -> Sequence[Example]:
    step = max(1, len(examples) // count) if count else 1
    return examples[::step][:count]


@dataclass(frozen=True)
class Focus:
    """Where the keyboard goes next: on a button of that name, into the plan, or from there to the
    examples with one doubt. The number tells one time from the next, so that drawing anew takes
    the focus from nobody.
    """

    place: Literal["", "fold", "accept", "exclude", "plan", "doubt"] = ""
    number: int = 0

    def move(self, place: Literal["fold", "accept", "exclude", "plan", "doubt"]) -> Focus:
        """On to another place."""
        return Focus(place, self.number + 1)

    def mark(self, place: str) -> str:
        """The attribute of the place where it goes."""
        return f' data-autofocus="bulk-{self.number}"' if place == self.place else ""


NO_FOCUS: Final = Focus()


def render_bulk(
    num_matching: int,
    plan: BulkPlan | None,
    lang: str,
    *,
    is_open: bool,
    focus: Focus = NO_FOCUS,
) -> str:
    """Two buttons; once one is pressed, what it would do and the question whether to."""
    body = _render_plan(plan, lang, focus) if plan else _render_choice(num_matching, lang, focus)
    note = t(lang, "bulk_text", num=f"{num_matching:,}")
    is_shown = is_open or plan is not None
    return render_fold(
        "bulk",
        t(lang, "bulk_title"),
        note,
        body,
        is_open=is_shown,
        key="b",
        attributes=focus.mark("fold") + (' data-escape="1"' if is_shown and plan is None else ""),
    )


def _render_choice(num_matching: int, lang: str, focus: Focus) -> str:
    disabled = "" if num_matching else " disabled"
    buttons = "".join(
        f'<button type="button" class="eco-button" id="curate-bulk-{deed}" '
        f'data-action="bulk-{deed}"{disabled}{focus.mark(deed)}>'
        f"{t(lang, f'bulk_{deed}', num=f'{num_matching:,}')}</button>"
        for deed in ("accept", "exclude")
    )
    return f'<div class="eco-form-buttons">{buttons}</div>'


def _render_plan(plan: BulkPlan, lang: str, focus: Focus) -> str:
    notes = [
        t(lang, f"bulk_note_{name}", num=f"{count:,}")
        for name, count in (
            ("fixed", plan.num_fixed),
            ("refused", plan.num_refused),
            ("held", plan.num_held),
            ("later", max(0, plan.num_matching - MAX_BULK)),
        )
        if count > 0
    ]
    items = "".join(f"<li>{note}</li>" for note in notes)
    listing = f'<ul class="eco-notes">{items}</ul>' if items else ""
    samples = "".join(
        _render_sample(example, plan.warnings.get(example.example_id, ()), lang)
        for example in plan.samples
    )
    shown = ""
    if samples:
        shown = f'<p class="eco-muted">{t(lang, "bulk_samples")}</p>'
        shown += f'<ul class="eco-samples">{samples}</ul>'
    question = t(lang, f"bulk_plan_{plan.deed}", num=f"{plan.num_decided:,}")
    return (
        f'<div class="eco-plan" id="curate-plan" role="group" tabindex="-1" '
        f'aria-labelledby="curate-plan-title"{focus.mark("plan")}>'
        f'<h3 id="curate-plan-title">{question}</h3>{_render_warnings(plan, lang)}'
        f"{listing}{shown}"
        f'<div class="eco-form-buttons"><button type="button" class="eco-button" '
        f'id="curate-plan-cancel" data-action="bulk-cancel" data-escape="1">{t(lang, "cancel")}'
        f"</button>{_render_go(plan, lang)}</div></div>"
    )


def _render_go(plan: BulkPlan, lang: str) -> str:
    """Do it; where some are doubtful, also without those."""
    clean = ""
    if plan.warnings and plan.num_clean:
        clean = (
            '<button type="button" class="eco-button" id="curate-plan-clean" '
            f'data-action="bulk-clean">{t(lang, "bulk_go_clean", num=f"{plan.num_clean:,}")}'
            "</button>"
        )
    disabled = "" if plan.num_decided else " disabled"
    label = t(lang, f"bulk_go_{plan.deed}", num=f"{plan.num_decided:,}")
    return (
        f'{clean}<button type="button" class="eco-button eco-button-main" id="curate-plan-go" '
        f'data-action="bulk-go" data-key="y" aria-keyshortcuts="y"{disabled}>{label} <kbd>Y</kbd>'
        "</button>"
    )


def _render_warnings(plan: BulkPlan, lang: str) -> str:
    """What they would be accepted with, each with the way to look at those first."""
    if not plan.warnings:
        return ""
    counts = Counter(name for names in plan.warnings.values() for name in names)
    buttons = " ".join(
        f'<button type="button" class="eco-flag-do" data-action="bulk-doubt" '
        f'data-value="{escape(name)}">{escape(flag_label(name, lang))} {count:,}</button>'
        for name, count in counts.most_common()
    )
    sentence = t(lang, "bulk_warnings", num=f"{len(plan.warnings):,}")
    return (
        f'<div class="eco-notice eco-notice-warn" id="curate-plan-warnings">{icon("warn")}'
        f'<div><p>{sentence}</p><p class="eco-plan-flags">{buttons}</p></div></div>'
    )


def _render_sample(example: Example, warnings: Sequence[str], lang: str) -> str:
    asked = next((m["content"] for m in reversed(example.messages) if m["role"] == "user"), "")
    answer = to_readable(example.completion)
    tags = "".join(
        f'<span class="eco-tag eco-tag-warn">{escape(flag_label(name, lang))}</span>'
        for name in warnings
    )
    return (
        f"<li><b>#{example.example_id}</b> <span>{escape(_line(asked))}</span>"
        f"<span>→ {escape(_line(answer))}</span>{tags}</li>"
    )


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…"
