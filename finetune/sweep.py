"""The same rows trained with several recipes, one after another, and one table to compare them.

What counts is the loss and the answers: a low loss with odd answers is memorisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from feedback_store.records import Dataset, Run
from feedback_store.store import Store
from finetune.checks import AnswerFormat
from finetune.dataset_diff import locate_dataset
from finetune.job import SAMPLES_FILE
from finetune.preflight import is_canonical
from finetune.recipe import EVERYDAY, MODULES, Recipe, list_recipes, load_recipe
from finetune.run_files import read_lines
from finetune.runs import (
    RunSettings,
    cancel_run,
    forget_checkpoints,
    run_dir_of,
    start_run,
    watch_run,
)
from finetune.training_rows import read_rows
from finetune.watch import Sampled, is_parroted

NUM_SAMPLES: Final = 16  # answers to look at; the five of a usual run are for reading
EXPERIENCES: Final = tuple(name for name in list_recipes() if name not in EVERYDAY)


@dataclass(frozen=True)
class SweepRow:
    """One recipe's line of the table."""

    recipe: str
    run_id: str
    state: str
    layers: str = ""
    r: int | None = None
    learning_rate: float | None = None
    steps: int | None = None
    train_loss: float | None = None
    base_loss: float | None = None
    val_loss: float | None = None
    well_formed: float | None = None  # share of sampled answers
    expected: float | None = None  # share that are the accepted answer, word for word
    parroted: float | None = None  # share that are the training answer to another question
    tokens_per_s: float | None = None
    minutes: float | None = None
    why: str = ""  # it stopped early, or failed

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


@dataclass(frozen=True)
class Sweep:
    """What is trained on, how far each run may go."""

    dataset: Dataset
    base_model: str
    recipes: Sequence[str]
    max_steps: int = 0  # 0: as each recipe says
    answer_format: AnswerFormat = "recommendation"


def run_sweep(store: Store, sweep: Sweep, on_progress: Callable[[str], None]) -> Iterator[SweepRow]:
    """Train each recipe in turn; yields its row as soon as it ends. A run that fails is a row too;
    closing the iterator ends the run that trains.
    """
    settings = RunSettings(answer_format=sweep.answer_format, is_comparison=True)
    for word in sweep.recipes:
        recipe = shorten(load_recipe(word), sweep.max_steps)
        name = recipe.name
        run = start_run(store, store.data_dir, sweep.dataset, recipe, sweep.base_model, settings)
        on_progress(f"{name}: run {run.run_id}")
        try:
            follow(store, run.run_id, name, on_progress)
        except BaseException:
            cancel_run(store, store.data_dir, run.run_id)
            raise
        ended = store.get_run(run.run_id) or run
        if ended.state == "done":
            forget_checkpoints(store.data_dir, run.run_id)
        answers = read_dataset_answers(locate_dataset(store, sweep.dataset))
        folder = run_dir_of(store.data_dir, run.run_id)
        shares = count_samples(folder, answers, sweep.answer_format)
        yield describe(name, ended, shares)


def follow(store: Store, run_id: str, name: str, on_progress: Callable[[str], None]) -> None:
    """Tell every tenth of the steps; whoever is told may raise to end it."""
    told = 0
    for progress in watch_run(store, store.data_dir, run_id):
        done = 10 * progress.step // progress.total_steps if progress.total_steps else 0
        if done > told:
            told = done
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            on_progress(f"{name}: step {progress.step} of {progress.total_steps}{loss}")


def shorten(recipe: Recipe, max_steps: int) -> Recipe:
    """No tracking, more answers to look at, and no more steps than wished."""
    quiet = replace(recipe, tracking="off", num_samples=NUM_SAMPLES)
    if not max_steps:
        return quiet
    return replace(quiet, min_steps=min(recipe.min_steps, max_steps), max_steps=max_steps)


def read_dataset_answers(dataset_dir: Path) -> dict[str, set[str]]:
    """Each training answer with the questions it belongs to."""
    found: dict[str, set[str]] = {}
    for row in read_rows(dataset_dir, "train"):
        found.setdefault(row.completion.strip(), set()).add(row.prompt[-1]["content"])
    return found


def count_samples(
    run_dir: Path,
    training_answers: dict[str, set[str]],
    answer_format: AnswerFormat = "recommendation",
) -> dict[str, float]:
    """Of the answers at the last evaluation: how many are well formed, expected, parroted. Free
    text has no form.
    """
    lines = read_lines(run_dir / SAMPLES_FILE)
    if not lines:
        return {}
    last = [line for line in lines if line["step"] == lines[-1]["step"]]
    parroted = sum(
        is_parroted(Sampled(line["prompt"], line["answer"], line["expected"]), training_answers)
        for line in last
    )
    well_formed = sum(is_canonical(line["answer"]) for line in last) / len(last)
    return {
        **({} if answer_format == "text" else {"well_formed": well_formed}),
        "expected": sum(line["answer"] == line["expected"] for line in last) / len(last),
        "parroted": parroted / len(last),
    }


def describe(name: str, run: Run, shares: dict[str, float]) -> SweepRow:
    """A run's row."""
    result = run.result or {}
    if run.state != "done":
        why = str((result.get("error") or {}).get("code") or run.error or run.state)
        return SweepRow(name, run.run_id, run.state, why=why)
    recipe, stopped = result["recipe"], result.get("stopped_early") or {}
    return SweepRow(
        recipe=name,
        run_id=run.run_id,
        state=run.state,
        layers=_name_layers(recipe["target_modules"]),
        r=recipe["r"],
        learning_rate=recipe["learning_rate"],
        steps=result["steps"],
        train_loss=result["train_loss"],
        base_loss=result["base_eval_loss"],
        val_loss=result["eval_loss"],
        tokens_per_s=result["tokens_per_s"],
        minutes=result["duration_s"] / 60,
        why=str(stopped.get("code", "")),
        **shares,
    )


def _name_layers(modules: str | Sequence[str]) -> str:
    if isinstance(modules, str):
        return modules
    return "all seven" if len(modules) == len(MODULES) else "+".join(name[0] for name in modules)


_COLUMNS: Final = (
    ("recipe", "recipe", ""),
    ("layers", "layers", ""),
    ("r", "r", "d"),
    ("learning_rate", "rate", "g"),
    ("steps", "steps", "d"),
    ("train_loss", "train", ".3f"),
    ("val_loss", "validation", ".3f"),
    ("base_loss", "base", ".3f"),
    ("well_formed", "well formed", ".0%"),
    ("expected", "as expected", ".0%"),
    ("parroted", "parroted", ".0%"),
    ("tokens_per_s", "tokens/s", ",.0f"),
    ("minutes", "min", ".1f"),
    ("why", "stopped", ""),
)


def render_table(rows: Sequence[SweepRow]) -> str:
    """One table in Markdown, which a terminal shows straight, too."""
    body = [[_cell(getattr(row, name), form) for name, _, form in _COLUMNS] for row in rows]
    heads = [head for _, head, _ in _COLUMNS]
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    return "\n".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |"
        for line in (heads, ["-" * width for width in widths], *body)
    )


def _cell(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
