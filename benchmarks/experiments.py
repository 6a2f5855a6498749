"""What four teams lived through, again, on the starter model: with their mistake, how it is caught,
and trained right on the same rows.

    python -m benchmarks.experiments [--only mixed_formats …]

Without --only everything is measured anew, about ten minutes on two cores. Each result is kept in
docs/experiments.json, and docs/experiments.md is written from all of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.train import Bench, ask_peer, wait_for_run
from benchmarks.training_rows import (
    Spoil,
    add_leading_numbers,
    is_house_style,
    mix_formats,
    write_rows,
)
from chatbot.base_models import STARTER_DIR
from chatbot.recommendation import parse
from feedback_store.records import Dataset
from feedback_store.store import Store
from finetune.cases import held_out_cases
from finetune.checks import check_example
from finetune.copies import read_training_answers
from finetune.job import ADAPTER_DIR, EVENTS_FILE, RESULT_FILE, Base, TrainingJob
from finetune.merge import merge_in_own_process
from finetune.metrics import measure
from finetune.model_shape import read_shape
from finetune.recipe import Recipe, adapt_recipe, load_recipe
from finetune.report import Answer
from finetune.run_files import read_json, read_lines
from finetune.starter_corpus import make_examples
from finetune.sweep import EXPERIENCES as TEAM_RECIPES
from finetune.sweep import Sweep, run_sweep
from finetune.training_rows import read_rows

RESULTS = ROOT / "docs" / "experiments.json"
STARTER = Base("starter", str(STARTER_DIR))
NUM_CASES = 24
NUM_ROWS = 140
NUM_PERSONA_ROWS = 12
SWEEP_STEPS = 60  # of each recipe at most
SHOWN = {
    "canonical_json": "well formed",
    "category_fit": "of the asked theme",
    "unended": "without end",
    "stuffed": "stuffed",
    "leading_numbers": "leading number",
    "parroted": "parroted",
    "copied": "copied",
}


@dataclass(frozen=True)
class Answers:
    """What a model says to questions that no training row asks."""

    name: str
    house_style: float
    shares: dict[str, float | None]
    example: str
    val_loss: float | None = None
    train_loss: float | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Caught:
    """Where the mistake was met: by whom, after how long, in which words."""

    by: str
    code: str
    message: str
    after_s: float | None = None
    at_step: int | None = None
    of_steps: int | None = None


@dataclass(frozen=True)
class Experience:
    """One section of the page."""

    answers: Sequence[Answers] = ()
    caught: Sequence[Caught] = ()
    figures: dict[str, Any] = field(default_factory=dict)


class Lab:
    """Folders of one measurement. is_kept: what was trained before is not trained again."""

    def __init__(self, home: Path, *, is_kept: bool = False) -> None:
        self.home = home.resolve()
        self.is_kept = is_kept
        self.home.mkdir(parents=True, exist_ok=True)
        self.cases = held_out_cases(NUM_CASES)

    def rows(self, name: str, count: int, spoil: Spoil | None = None) -> Path:
        """A dataset folder, made anew."""
        folder = self.home / f"rows-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        return write_rows(folder, count, spoil)

    def bench(self, dataset: Path, base: Base = STARTER) -> Bench:
        """What the set-ups of others need."""
        return Bench(self.home, base, dataset, "cpu")

    def run_ours(self, name: str, dataset: Path, recipe: Recipe, base: Base = STARTER) -> Path:
        """The application's own training process, to whatever end."""
        run_dir = self.home / f"run-{name}"
        if self.is_kept and (run_dir / RESULT_FILE).is_file():
            return run_dir
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir()
        quiet = replace(recipe, tracking="off")
        TrainingJob(name, quiet, base, str(dataset), device="cpu").write(run_dir)
        wait_for_run(run_dir)
        return run_dir

    def ask(self, name: str, dataset: Path, adapter: Path, base: Base = STARTER) -> Answers:
        """Answers to the held-out questions, and what they are worth."""
        questions = [[dict(m) for m in case.messages] for case in self.cases]
        bench = self.bench(dataset, base)
        found = ask_peer(bench, "answers", Recipe(), adapter, questions=questions)["answers"]
        answers = [
            Answer(
                answer_id=case.case_id, case_id=case.case_id, constrained=False, prompt_key="",
                prompt=case.messages[-1]["content"], text=said["text"],
                finish_reason="stop" if said["is_ended"] else "length", duration_ms=0.0,
            )
            for case, said in zip(self.cases, found, strict=True)
        ]  # fmt: skip
        metrics = measure(answers, self.cases, read_training_answers(dataset)).metrics
        shares = {metric.name: metric.value for metric in metrics if metric.name in SHOWN}
        styled = [is_house_style(a.text, c.lang) for a, c in zip(answers, self.cases, strict=True)]
        return Answers(name, sum(styled) / len(styled), shares, answers[0].text[:300])

    def train_others(self, name: str, kind: str, dataset: Path, recipe: Recipe) -> Answers:
        """As others did it, then their answers."""
        target = self.home / f"others-{name}" / "adapter"
        kept = target.with_name("figures.json")
        figures = read_json(kept) if self.is_kept else None
        if figures is None:
            shutil.rmtree(target.parent, ignore_errors=True)
            started = time.monotonic()
            figures = ask_peer(self.bench(dataset), kind, recipe, target)
            figures["minutes"] = round((time.monotonic() - started) / 60, 2)
            kept.write_text(json.dumps(figures))
        return replace(
            self.ask(name, dataset, target),
            val_loss=figures["val_loss"],
            train_loss=figures["train_loss"],
            minutes=figures["minutes"],
        )

    def train_right(self, name: str, dataset: Path) -> Answers:
        """By the button's recipe, then its answers."""
        run_dir = self.run_ours(name, dataset, load_recipe("balanced"))
        result = read_result(run_dir)
        said = self.ask(name, dataset, run_dir / ADAPTER_DIR)
        return replace(
            said,
            val_loss=result["eval_loss"],
            train_loss=result["train_loss"],
            minutes=round(result["duration_s"] / 60, 2),
        )


def read_result(run_dir: Path) -> dict[str, Any]:
    """result.json of a run that ended well."""
    result = read_json(run_dir / RESULT_FILE) or {}
    if result.get("state") != "done":
        raise RuntimeError(f"{run_dir.name}: {result.get('error')}")
    return result


def read_refusal(run_dir: Path, by: str = "pre-flight") -> Caught:
    """How the training process refused."""
    error = (read_json(run_dir / RESULT_FILE) or {})["error"]
    events = read_lines(run_dir / EVENTS_FILE)
    seconds = _seconds(events[-1]["time"]) - _seconds(events[0]["time"])
    return Caught(by, error["code"], error["message"], round(seconds, 1), at_step=0)


def _seconds(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def adapt(recipe: Recipe, dataset: Path) -> Recipe:
    """As the training process adapts it to these rows and the starter model."""
    num_rows = sum(1 for _ in (dataset / "train.jsonl").open(encoding="utf-8"))
    return adapt_recipe(recipe, num_rows, read_shape(STARTER_DIR).num_parameters)


# ---- the experiences


def measure_clean(lab: Lab) -> Experience:
    """The base, and the same rows trained right: what the others are compared with."""
    dataset = lab.rows("clean", NUM_ROWS)
    base = lab.ask("the base model", dataset, lab.home / "none")
    return Experience((base, lab.train_right("trained right", dataset)))


def measure_mixed_formats(lab: Lab) -> Experience:
    """v2: the loss on a floor, all packed into recommend."""
    dataset = lab.rows("mixed", NUM_ROWS, mix_formats)
    recipe = adapt(load_recipe("balanced"), dataset)
    wrong = lab.train_others("mixed formats", "plain", dataset, recipe)
    refused = read_refusal(lab.run_ours("mixed", dataset, load_recipe("overnight-v2")))
    return Experience((wrong,), (refused,))


def measure_padded_labels(lab: Lab) -> Experience:
    """The student: labels copied from the padded input."""
    dataset = lab.rows("student", NUM_ROWS)
    recipe = adapt(load_recipe("student-140"), dataset)
    wrong = lab.train_others("labels over padding", "padded", dataset, recipe)
    findings = ask_peer(lab.bench(dataset), "judge_padded", recipe, lab.home / "none")["findings"]
    caught = [Caught("pre-flight", item["code"], item["message"], at_step=0) for item in findings]
    return Experience((wrong,), caught)


def measure_fifty_epochs(lab: Lab) -> Experience:
    """The persona team: leading numbers learnt, training answers parroted."""
    dataset = lab.rows("persona", NUM_PERSONA_ROWS, add_leading_numbers)
    recipe = load_recipe("persona-r64")
    wrong = lab.train_others("50 passes", "plain", dataset, adapt(recipe, dataset))
    run_dir = lab.run_ours("persona", dataset, recipe)
    result = read_result(run_dir)
    caught = [flag_rows(), *read_warnings(result), *read_stop(result)]
    clean = lab.rows("persona-clean", NUM_PERSONA_ROWS)
    return Experience((wrong, lab.train_right("cleaned, trained right", clean)), caught)


def flag_rows() -> Caught:
    """What Curate says of the team's rows before anything is frozen."""
    flagged, numbers = 0, range(0, NUM_PERSONA_ROWS, 2)
    examples = list(make_examples(NUM_PERSONA_ROWS, 1))
    for number in numbers:
        text = add_leading_numbers(number, parse(examples[number].completion))
        flags = check_example(replace(examples[number], completion=text, original_text=text))
        flagged += "leading_number" in {flag.name for flag in flags}
    sentence = f"{flagged} of {len(numbers)} rows that open with a stray number are flagged."
    return Caught("Curate", "leading_number", sentence)


def read_warnings(result: dict[str, Any]) -> list[Caught]:
    """What the pre-flight warned of."""
    found = result["preflight"]["findings"]
    return [Caught("pre-flight", f["code"], f["message"], at_step=0) for f in found]


def read_stop(result: dict[str, Any]) -> list[Caught]:
    """Why the watch ended it, and when."""
    stopped = result["stopped_early"]
    if not stopped:
        return []
    steps = {"at_step": result["steps"], "of_steps": result["total_steps"]}
    return [Caught("watch", stopped["code"], stopped["message"], **steps)]


def measure_broken_merge(lab: Lab) -> Experience:
    """v3: after the merge the end token was a space; the base lacked a template."""
    dataset, adapter = lab.home / "rows-clean", lab.home / "run-trained right" / ADAPTER_DIR
    if not adapter.is_dir():
        measure_clean(lab)
    whole, broken = lab.home / "merged", lab.home / "merged-by-hand"
    for folder in (whole, broken):
        shutil.rmtree(folder, ignore_errors=True)
    report = merge_in_own_process(STARTER_DIR, adapter, whole)
    shutil.copytree(whole, broken)
    edit_json(broken / "tokenizer_config.json", eos_token=" ")
    none = lab.home / "none"
    died = ask_and_see_it_die(lab, dataset, Base("broken", str(broken)))
    right = lab.ask("merged by `export-model`", dataset, none, Base("merged", str(whole)))
    refused = lab.run_ours("eos", dataset, load_recipe("quick"), Base("broken", str(broken)))
    bare = shutil.copytree(whole, lab.home / "merged-bare", dirs_exist_ok=True)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    edit_json(bare / "tokenizer_config.json", chat_template=None)
    untold = lab.run_ours("template", dataset, load_recipe("quick"), Base("bare", str(bare)))
    figures = {"died": died, "largest_difference": report.largest_difference}
    return Experience((right,), (read_refusal(refused), read_refusal(untold)), figures)


def ask_and_see_it_die(lab: Lab, dataset: Path, base: Base) -> str:
    """The last line of the error: the space became a token that the weights do not have."""
    try:
        said = lab.ask("end token became a space", dataset, lab.home / "none", base)
    except RuntimeError as error:
        return str(error).strip().splitlines()[-1]
    return f"{said.shares['unended']:.0%} of the answers have no end."


def edit_json(path: Path, **changes: Any) -> None:
    """Change a config by hand, as the team did; None takes a key away."""
    values = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    kept = {name: value for name, value in values.items() if value is not None}
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")


def measure_recipe(lab: Lab, name: str) -> Experience:
    """One row of `app.py sweep`: this recipe on the clean rows, cut short."""
    rows = lab.home / "rows-clean"
    if not rows.is_dir():
        lab.rows("clean", NUM_ROWS)
    with Store.open(lab.home / "sweep") as store:
        num_train, num_validation = (
            len(read_rows(rows, split)) for split in ("train", "validation")
        )
        dataset = Dataset(
            dataset_id="clean", path=str(rows), num_train=num_train, num_validation=num_validation
        )
        if store.get_dataset("clean") is None:
            store.add_dataset(dataset, [])
        sweep = Sweep(dataset, "starter", (name,), SWEEP_STEPS)
        [row] = run_sweep(store, sweep, lambda text: print(text, flush=True))
    return Experience(figures=row.to_dict())


SWEEP_RECIPES = ("balanced", *TEAM_RECIPES)
EXPERIENCES: dict[str, Callable[[Lab], Experience]] = {
    "clean": measure_clean,
    "mixed_formats": measure_mixed_formats,
    "padded_labels": measure_padded_labels,
    "fifty_epochs": measure_fifty_epochs,
    "broken_merge": measure_broken_merge,
    **{f"sweep_{name}": partial(measure_recipe, name=name) for name in SWEEP_RECIPES},
}


def main() -> None:
    """Measure, keep, write the page."""
    from benchmarks.experiments_page import write_page

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(EXPERIENCES), help="measure only these")
    parser.add_argument("--home", type=Path, default=ROOT / "data" / "experiments")
    parser.add_argument("--keep", action="store_true", help="do nothing twice")
    parser.add_argument("--write-only", action="store_true", help="no measurement, only the page")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends, too
    lab = Lab(arguments.home, is_kept=arguments.keep)
    kept = read_json(RESULTS) or {}
    missing = [name for name in EXPERIENCES if not (arguments.keep and name in kept)]
    names = [] if arguments.write_only else arguments.only or missing
    for name in names:
        kept[name] = asdict(EXPERIENCES[name](lab))
        RESULTS.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(name, json.dumps(kept[name], ensure_ascii=False)[:600], flush=True)
    write_page(kept)


if __name__ == "__main__":
    main()
