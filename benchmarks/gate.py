"""The gate on the real engine: does it refuse an adapter for what is wrong with it, let a better
one through, and keep an equal one out?

    python benchmarks/gate.py [--quick] [--adapters FOLDER]

Trains one harmful adapter for each figure on the starter model (gate_adapters.py), a good one as
the button does; lets vLLM answer with every one, and judges it against the base. Then the base and
the good adapter answer with several seeds: every pair of two runs of the same adapter is one of
equals, every pair of base and good one is of a truly better.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.gate_harm import HARMS, make_rows
from benchmarks.train import wait_for_run
from chatbot.base_models import STARTER_DIR
from feedback_store.records import Dataset, NewExample, Run
from feedback_store.store import Store
from finetune.adapter_folder import run_adapter_dir
from finetune.bench import Bench, Exam
from finetune.cases import held_out_cases
from finetune.copies import TrainingAnswer
from finetune.dataset import SPLITS, is_test, is_validation
from finetune.evaluate import Candidate, EvaluationSettings, Serving, evaluate
from finetune.gate import Thresholds, Verdict, decide
from finetune.job import ADAPTER_DIR, Base, TrainingJob
from finetune.progress import Control
from finetune.recipe import load_recipe
from finetune.report import Report
from finetune.starter_corpus import make_examples
from settings import Settings
from wiring.engines import find_base_model
from wiring.runtime import Runtime

NUM_CASES = 48  # a fault shows with half of what the application asks
NUM_PAIR_CASES = EvaluationSettings().num_cases
NUM_EXAMPLES = 200  # what the good one learns from
NUM_SEEDS = 5  # 40 pairs of equals, 25 of a better one
WEIGHTS = "adapter_model.safetensors"


def make_adapters(folder: Path, kinds: Sequence[str]) -> None:
    """Train what is missing, in processes of their own."""
    if not (folder / "good").is_dir():
        train_good(folder)
    missing = [kind for kind in kinds if not (folder / kind).is_dir()]
    if missing:
        script = str(ROOT / "benchmarks" / "gate_adapters.py")
        subprocess.run([sys.executable, script, str(folder), *missing], check=True)


def train_good(folder: Path) -> None:
    """As the button does it, from clean examples and with its recipe."""
    rows = list(make_examples(NUM_EXAMPLES, 11))
    dataset, run_dir = folder / "good-rows", folder / "good-run"
    write_rows(dataset, rows)
    run_dir.mkdir()
    recipe = replace(load_recipe("balanced"), tracking="off")
    base = Base("starter", str(STARTER_DIR))
    TrainingJob("good", recipe, base, str(dataset), device="cpu").write(run_dir)
    wait_for_run(run_dir)
    (run_dir / ADAPTER_DIR).rename(folder / "good")


def write_rows(folder: Path, rows: Sequence[NewExample]) -> None:
    """A dataset folder, split as the application splits."""
    folder.mkdir(parents=True)
    with ExitStack() as opened:
        files = {
            split: opened.enter_context((folder / f"{split}.jsonl").open("w", encoding="utf-8"))
            for split in SPLITS
        }
        for row in rows:
            completion = [{"role": "assistant", "content": row.completion}]
            value = {"prompt": list(row.messages), "completion": completion}
            kept = "test" if is_test(row.conversation_id) else "validation"
            split = kept if is_validation(row.conversation_id, 0.15) else "train"
            files[split].write(json.dumps(value, ensure_ascii=False) + "\n")


def rename_tensors(folder: Path) -> None:
    """What a wrong prefix does: every tensor is there, under a name that fits nowhere."""
    raw = (folder / WEIGHTS).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    renamed = {name.replace("base_model.", "other_model."): at for name, at in header.items()}
    text = json.dumps(renamed).encode()
    text += b" " * (-len(text) % 8)
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def add_run(store: Store, kind: str, source: Path) -> Run:
    """The adapter as a finished run left it."""
    dataset = Dataset(dataset_id=f"d-{kind}", path="", num_train=1, num_validation=0)
    store.add_dataset(dataset, [])
    if kind in HARMS:
        write_rows(store.data_dir / "datasets" / dataset.dataset_id, make_rows(kind))
    run = Run(
        run_id=f"run-{kind}",
        kind="sft",
        state="done",
        dataset_id=dataset.dataset_id,
        base_model="starter",
        recipe={},
    )
    store.add_run(run)
    shutil.copytree(source, run_adapter_dir(store.data_dir, run.run_id))
    return run


def is_right(kind: str, verdict: Verdict) -> bool:
    """Refused, and for that very thing."""
    named = {str(reason.params.get("metric")) for reason in verdict.reasons}
    return verdict.outcome == "fail" and bool(HARMS[kind].metrics & named)


def show(kind: str, verdict: Verdict) -> None:
    """One line a verdict: what it found, shortest form."""
    found = [str(reason.params.get("metric", reason.code)) for reason in verdict.reasons]
    print(f"{kind:14} {verdict.outcome:10} {', '.join(dict.fromkeys(found))}", flush=True)


def judge_harmful(bench: Bench, adapters: Path, kinds: Sequence[str]) -> dict[str, float]:
    """Every harmful adapter against the base."""
    num_right = 0
    for kind in kinds:
        run = add_run(bench.store, kind, adapters / kind)
        _, verdict = bench.judge(run, Thresholds(), Control())
        num_right += is_right(kind, verdict)
        show(kind, verdict)
    run = add_run(bench.store, "no-op", adapters / "good")
    rename_tensors(run_adapter_dir(bench.data_dir, run.run_id))
    _, verdict = bench.judge(run, Thresholds(), Control())
    show("no-op", verdict)
    num_right += verdict.reasons[0].code in ("no_effect", "bad_adapter")
    return {"harmful": len(kinds) + 1, "refused_rightly": num_right}


def ask_with_seeds(serving: Serving, name: str | None, seeds: Sequence[int]) -> list[Report]:
    """The same adapter asked the same, with other dice."""
    exam = Exam(held_out_cases(NUM_PAIR_CASES))
    nothing: list[TrainingAnswer] = []
    settings = EvaluationSettings(num_cases=NUM_PAIR_CASES)
    return [
        evaluate(
            serving, Candidate(name, (), nothing), exam.cases, replace(settings, seed=1000 * seed)
        )
        for seed in seeds
    ]


def judge_pairs(serving: Serving, good: Path, num_seeds: int) -> dict[str, float]:
    """Equal pairs must not pass, better ones must."""
    seeds = range(1, num_seeds + 1)
    serving.load("good", good)
    base, better = (ask_with_seeds(serving, name, seeds) for name in (None, "good"))
    serving.unload("good")
    equal = [*permutations(base, 2), *permutations(better, 2)]
    improved = list(product(better, base))
    figures: dict[str, float] = {
        "equal_pairs": len(equal),
        "equal_passed": sum(_passes(*pair) for pair in equal),
        "better_pairs": len(improved),
        "better_passed": sum(_passes(*pair) for pair in improved),
    }
    print(figures, flush=True)
    return figures


def _passes(candidate: Report, production: Report) -> bool:
    return decide(candidate, production, Thresholds()).outcome == "pass"


def judge_copy(bench: Bench, good: Path) -> dict[str, float]:
    """A copy of what answers already."""
    exam = bench.make_exam()
    bench.serving.load("first", good)
    bench.serving.load("copy", good)
    first, copy = (
        evaluate(bench.serving, Candidate(name), exam.cases, bench.settings)
        for name in ("first", "copy")
    )
    for name in ("first", "copy"):
        bench.serving.unload(name)
    verdict = decide(copy, first, Thresholds())
    show("copy", verdict)
    codes = {reason.code for reason in verdict.reasons}
    return {"copy_refused": float(verdict.outcome == "fail" and "identical" in codes)}


@contextmanager
def running(settings: Settings) -> Iterator[tuple[Store, Serving, Any]]:
    """vLLM on an event loop that this thread may block beside."""
    loop = asyncio.new_event_loop()

    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start(store: Store) -> Runtime:
        runtime = Runtime(settings, store, find_base_model(settings))
        await runtime.start()
        await runtime.wait_settled(300)
        return runtime

    with Store.open(settings.data_dir) as store:
        runtime = asyncio.run_coroutine_threadsafe(start(store), loop).result()
        try:
            yield store, runtime.serving, runtime
        finally:
            asyncio.run_coroutine_threadsafe(runtime.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)


def main() -> None:
    """Measure, print a table, end with the result line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three harmful adapters, no seeds")
    parser.add_argument("--adapters", type=Path, help="keep the adapters here, or take them")
    arguments = parser.parse_args()
    kinds = list(HARMS)[:3] if arguments.quick else list(HARMS)
    with tempfile.TemporaryDirectory() as name:
        adapters = arguments.adapters or Path(name) / "adapters"
        adapters.mkdir(parents=True, exist_ok=True)
        make_adapters(adapters.resolve(), kinds)
        with running(Settings(data_dir=Path(name) / "data")) as (store, serving, _):
            settings = EvaluationSettings(num_cases=NUM_CASES)
            bench = Bench(store, store.data_dir, serving, settings)
            figures = judge_copy(bench, adapters / "good")
            if not arguments.quick:
                figures |= judge_pairs(serving, adapters / "good", NUM_SEEDS)
            figures |= judge_harmful(bench, adapters, kinds)
    for key, value in figures.items():
        print(f"{key:20} {value:8.0f}")
    print("RESULT " + json.dumps(figures))


if __name__ == "__main__":
    main()
