"""docs/experiments.md from the kept results of benchmarks/experiments.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.sweep import SweepRow, render_table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "experiments.md"
_HEAD = """# Experiments: what four teams lived through, again

Written by `python -m benchmarks.experiments` (ten to fifteen minutes on two cores without a GPU);
do not edit. The starter model is trained on starter examples in a house style that it does not
know: each title ends with "챌린지" or "challenge", the first sentence with an invitation to do it
together. Then it answers {cases} held-out questions greedily and without the schema. **In house
style** means: canonical JSON, and both endings in place.

What others did is repeated by `benchmarks/train_peers.py`, where nothing is checked; "caught" is
what this project says to the same rows or files. A base of 6 million parameters shows how a
mistake works, not how large it is on 7B.

## The difference in answers

{table}

"without end": not ended after 320 tokens. "parroted": a training answer to a question about another
theme. "validation": loss on the answers' tokens only.
"""
_SWEEP = """## The recipes on the same rows

What `app.py sweep --max-steps 60` prints, for the clean rows: the button's recipe and those of the
teams. "as expected": the accepted answer word for word, of 15 validation questions. A base of 6
million parameters needs a higher rate than the 7B of the teams, so that their 2e-4 and 5e-5 learn
little here; which layers and which rank they chose matters less than that.

{table}
"""
_TITLES = {
    "clean": ("Without a mistake", ""),
    "mixed_formats": (
        "1. Ten thousand rows overnight: mixed formats",
        "Plain text, JSON as a string, JSON in a `text` field, numbered titles, all packed into "
        "`recommend`, and one canonical answer in six; recipe `overnight-v2`.",
    ),
    "broken_merge": (
        '2. "v3": the end token became a space, the base had no template',
        "An adapter merged into its base, and the tokenizer's config edited by hand. "
        "`app.py export-model` copies every file but the weights from the base, byte for byte, "
        "loads the result again and compares the logits.",
    ),
    "fifty_epochs": (
        "3. The persona team: 50 passes over few rows, numbers in front",
        "12 rows, every second one opening with a stray number; recipe `persona-r64`. When last "
        "measured, neither the numbers nor the parroting came back on this base.",
    ),
    "padded_labels": (
        "4. The student: labels over prompt and padding",
        "140 rows padded to 512 with the end token, labels a copy of the input; recipe "
        "`student-140`. Its loss is about prompts and padding, not about the answer, which it "
        "never learns: after 24 steps the validation loss is the base's.",
    ),
}
_COLUMNS = {
    "canonical_json": "well formed",
    "category_fit": "asked theme",
    "unended": "without end",
    "stuffed": "stuffed",
    "leading_numbers": "number in front",
    "parroted": "parroted",
}


def write_page(kept: Mapping[str, Any]) -> None:
    """Replace the page."""
    PAGE.write_text(render_page(kept), encoding="utf-8")


def render_page(kept: Mapping[str, Any]) -> str:
    """The whole page; sections without a result are left out."""
    rows = [
        (name, answers) for name in _TITLES for answers in kept.get(name, {}).get("answers", ())
    ]
    parts = [_HEAD.format(cases=24, table=_make_table([item for _, item in rows]))]
    parts += [_write_section(name, kept[name]) for name in _TITLES if name in kept]
    sweep = [SweepRow(**item["figures"]) for key, item in kept.items() if key[:6] == "sweep_"]
    if sweep:
        parts.append(_SWEEP.format(table=render_table(sweep)))
    return "\n".join(parts).rstrip() + "\n"


def _make_table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = ["", "in house style", *_COLUMNS.values(), "train loss", "validation"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        shares = [row["house_style"], *(row["shares"].get(name) for name in _COLUMNS)]
        losses = [row["train_loss"], row["val_loss"]]
        lines.append(
            [
                row["name"],
                *(_percent(value) for value in shares),
                *("" if value is None else f"{value:.3f}" for value in losses),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _write_section(name: str, experience: Mapping[str, Any]) -> str:
    title, text = _TITLES[name]
    lines = [f"## {title}", "", text] if text else [f"## {title}"]
    caught = experience["caught"]
    if caught:
        lines += ["", "| caught by | code | when | what it says |", "|---|---|---|---|"]
        lines += [_write_caught(item) for item in caught]
    if died := experience["figures"].get("died"):
        lines += ["", f"Asked all the same, the model edited by hand ends with: `{died}`. The one"]
        difference = experience["figures"]["largest_difference"]
        lines += [
            f"that was exported differs from base and adapter by {difference:.2g} in a logit."
        ]
    lines += ["", "An answer to the first question:", ""]
    for row in experience["answers"]:
        text = row["example"].replace("\n", "⏎").replace("`", "'")
        lines.append(f"- {row['name']}: `{text[:180]}{'…' if len(text) > 180 else ''}`")
    return "\n".join(lines) + "\n"


def _write_caught(item: Mapping[str, Any]) -> str:
    when = "before training"
    if item["after_s"] is not None:
        passed = f"after {item['after_s']:.1f} s" if item["after_s"] >= 0.1 else "at once"
        when = f"before step 1, {passed}"
    elif item["at_step"]:
        when = f"at step {item['at_step']} of {item['of_steps']}"
    elif item["at_step"] == 0:
        when = "before step 1"
    return f"| {item['by']} | `{item['code']}` | {when} | {item['message']} |"
