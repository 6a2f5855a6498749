"""Deciding on everything that the filter matches: what would become of it, then one click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

from chatbot.ui.diff_view import to_readable
from chatbot.ui.folds import render_fold
from chatbot.ui.i18n import t
from feedback_store.records import Example, ExampleFilter
from feedback_store.store import Store
from finetune.checks import CheckSettings
from finetune.curate import would_accept

MAX_BULK: Final = 5_000  # examples decided on at once
NUM_SAMPLES: Final = 5
_LINE_CHARS: Final = 90

Deed = Literal["accept", "exclude"]
_TARGETS: Final = {"accept": "accepted", "exclude": "excluded"}  # what is there already stays


@dataclass(frozen=True)
class BulkPlan:
    """What one click would do: these very examples, no others that come meanwhile."""

    deed: Deed
    seen: Mapping[int, int]  # example id → what it was when the plan was made
    num_matching: int
    num_held: int = 0  # of other curators: left alone
    num_fixed: int = 0  # accepted with a certain repair
    num_refused: int = 0  # hold an error that only a person can put right
    samples: tuple[Example, ...] = ()

    @property
    def example_ids(self) -> tuple[int, ...]:
        """What the plan is about."""
        return tuple(self.seen)


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
    verdicts = [would_accept(e, checks) for e in examples] if deed == "accept" else []
    return BulkPlan(
        deed=deed,
        seen={example.example_id: _sum_up(example) for example in examples},
        num_matching=page.total,
        num_held=len(page.items) - len(free),
        num_fixed=verdicts.count("fixed"),
        num_refused=verdicts.count("refused"),
        samples=_pick(examples),
    )


def _pick(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Some from the whole range, not only the first."""
    step = max(1, len(examples) // NUM_SAMPLES)
    return tuple(examples[::step][:NUM_SAMPLES])


def render_bulk(num_matching: int, plan: BulkPlan | None, lang: str, *, is_open: bool) -> str:
    """Two buttons; once one is pressed, what it would do and the question whether to."""
    body = _render_plan(plan, lang) if plan else _render_choice(num_matching, lang)
    note = t(lang, "bulk_text", num=f"{num_matching:,}")
    title = t(lang, "bulk_title")
    return render_fold("bulk", title, note, body, is_open=is_open or plan is not None, key="b")


def _render_choice(num_matching: int, lang: str) -> str:
    disabled = "" if num_matching else " disabled"
    buttons = "".join(
        f'<button type="button" class="eco-button" id="curate-bulk-{deed}" '
        f'data-action="bulk-{deed}"{disabled}>{t(lang, f"bulk_{deed}", num=f"{num_matching:,}")}'
        "</button>"
        for deed in ("accept", "exclude")
    )
    return f'<div class="eco-form-buttons">{buttons}</div>'


def _render_plan(plan: BulkPlan, lang: str) -> str:
    num = len(plan.example_ids)
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
    listing = "".join(f"<li>{note}</li>" for note in notes)
    samples = "".join(_render_sample(example) for example in plan.samples)
    go = num - plan.num_refused
    return (
        f'<div class="eco-plan" id="curate-plan">'
        f"<h3>{t(lang, f'bulk_plan_{plan.deed}', num=f'{go:,}')}</h3>"
        f'<ul class="eco-notes">{listing}</ul>'
        f'<p class="eco-muted">{t(lang, "bulk_samples")}</p><ul class="eco-samples">{samples}</ul>'
        f'<div class="eco-form-buttons"><button type="button" class="eco-button" '
        f'id="curate-plan-cancel" data-action="bulk-cancel" data-escape="1">{t(lang, "cancel")}'
        f'</button><button type="button" class="eco-button eco-button-main" id="curate-plan-go" '
        f'data-action="bulk-go" data-key="y" aria-keyshortcuts="y"{"" if go else " disabled"}>'
        f"{t(lang, f'bulk_go_{plan.deed}', num=f'{go:,}')} <kbd>Y</kbd></button></div></div>"
    )


def _render_sample(example: Example) -> str:
    asked = next((m["content"] for m in reversed(example.messages) if m["role"] == "user"), "")
    answer = to_readable(example.completion)
    return (
        f"<li><b>#{example.example_id}</b> <span>{escape(_line(asked))}</span>"
        f"<span>→ {escape(_line(answer))}</span></li>"
    )


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…"
