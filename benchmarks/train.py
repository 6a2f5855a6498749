"""How fast and how well one training goes, beside how others set it up, on the same rows and base.

    python -m benchmarks.train [--quick] [--base starter] [--device cpu]

The rows are starter examples in a house style that the base does not know.

- ours: `balanced`, in the very process that the button starts.
- padded: the script of the 140 rows (r=8 on q, k, v, o; all rows padded to 512, labels a copy).
- packing: TRL's defaults with packing on, and our adapter's size, rate and number of passes.

Tokens are those of the rows; padding is time without a token. The validation loss of all three is
computed by one function. Two cores need about four minutes; --quick 50 seconds.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.training_rows import write_rows
from chatbot.base_models import prepare, resolve
from finetune.job import ADAPTER_DIR, LOG_FILE, RESULT_FILE, Base, TrainingJob
from finetune.recipe import Recipe, adapt_recipe, load_recipe, recipe_from_dict
from finetune.run_files import read_json
from finetune.run_process import end_process, is_alive, make_environment, spawn

PLOT = ROOT / "docs" / "benchmark-train.png"
PASSES = 2.0  # over the data, for all three


@dataclass(frozen=True)
class Bench:
    """What all set-ups share."""

    home: Path
    base: Base
    dataset: Path
    device: str  # cpu, cuda


@dataclass(frozen=True)
class Measured:
    """The figures of one training."""

    tokens_per_s: float
    val_loss: float
    steps: int
    peak_mib: float
    memory_error: float = 0.0  # of the plan, over the measured peak
    start_to_step1_s: float = 0.0
    base_loss: float = 0.0


def open_bench(home: Path, base_name: str, device: str, num_rows: int) -> Bench:
    """Rows and base, ready to train on."""
    model = prepare(resolve(base_name), home / "models")
    options = dict(model.chat_template_kwargs)
    base = Base(model.name, model.path_or_hub_id, model.revision, options)
    return Bench(home, base, write_rows(home / "dataset", num_rows), device)


def measure_ours(bench: Bench, recipe: Recipe, name: str = "ours") -> Measured:
    """The training process as the application starts it; its own figures."""
    run_dir = bench.home / name
    run_dir.mkdir()
    order = TrainingJob(name, recipe, bench.base, str(bench.dataset), device=bench.device)
    order.write(run_dir)
    wait_for_run(run_dir)
    result = read_json(run_dir / RESULT_FILE) or {}
    if result.get("state") != "done":
        raise RuntimeError(f"{result.get('error')}\n{(run_dir / LOG_FILE).read_text()[-2000:]}")
    memory = result["memory"]
    planned, peak = memory["estimate_mib"]["total"], memory["peak_mib"]
    loss = ask_peer(bench, "evaluate", recipe_from_dict(result["recipe"]), run_dir / ADAPTER_DIR)
    return Measured(
        tokens_per_s=result["tokens_per_s"],
        val_loss=loss["val_loss"],
        steps=result["steps"],
        peak_mib=peak,
        memory_error=abs(planned - peak) / peak,
        start_to_step1_s=result["start_to_step1_s"],
        base_loss=result["base_eval_loss"],
    )


def wait_for_run(run_dir: Path) -> None:
    """Train as ordered, in a process that ends with this one."""
    mark = spawn(run_dir, niceness=0)
    try:
        while is_alive(mark):
            time.sleep(0.1)
    finally:
        end_process(mark)


def measure_peer(bench: Bench, kind: str, recipe: Recipe) -> Measured:
    """padded or packing; the recipe must be adapted."""
    found = ask_peer(bench, kind, recipe, bench.home / kind / "adapter")
    names = ("tokens_per_s", "val_loss", "peak_mib")
    return Measured(steps=int(found["steps"]), **{name: found[name] for name in names})


def ask_peer(bench: Bench, kind: str, recipe: Recipe, target: Path, **more: Any) -> dict[str, Any]:
    """Run benchmarks.train_peers in a process of its own; more: the questions to answer."""
    target.parent.mkdir(exist_ok=True, parents=True)
    order = target.with_name(f"{kind}-order.json")
    values = {
        "kind": kind,
        "base": bench.base.path,
        "dataset": str(bench.dataset),
        "target": str(target),
        "recipe": recipe.to_dict(),
        "device": bench.device,
        **more,
    }
    order.write_text(json.dumps(values))
    command = [sys.executable, "-m", "benchmarks.train_peers", str(order)]
    done = subprocess.run(
        command, cwd=ROOT, env=make_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def count_rows(dataset: Path) -> int:
    """Rows to train on."""
    return sum(1 for _ in (dataset / "train.jsonl").open(encoding="utf-8"))


def choose_recipes(bench: Bench, max_steps: int = 0) -> dict[str, Recipe]:
    """One for each set-up: the same number of passes over the same rows."""
    num_rows = count_rows(bench.dataset)
    ours = replace(load_recipe("balanced"), num_train_epochs=PASSES, min_steps=0, tracking="off")
    padded = replace(load_recipe("student-140"), num_train_epochs=PASSES)
    if max_steps:
        ours = replace(ours, max_steps=max_steps)
        padded = replace(padded, max_steps=max(1, max_steps // 2))
    # As ours reads the base's size: the rate of a small base is higher.
    shape = adapt_recipe(ours, num_rows, _count_parameters(bench.base.path))
    return {"ours": ours, "padded": padded, "packing": shape}


def _count_parameters(base_dir: str) -> int:
    from finetune.model_shape import read_shape

    return read_shape(Path(base_dir)).num_parameters


def summarize(found: dict[str, Measured]) -> dict[str, float]:
    """The figures of the promise."""
    ours, padded, packing = found["ours"], found["padded"], found["packing"]
    return {
        "times_padded_baseline": ours.tokens_per_s / padded.tokens_per_s,
        "times_trl_packing": ours.tokens_per_s / packing.tokens_per_s,
        "val_loss_ours": ours.val_loss,
        "val_loss_baseline": padded.val_loss,
        "val_loss_trl": packing.val_loss,
        "memory_plan_error": ours.memory_error,
        "start_to_step1_s": ours.start_to_step1_s,
    }


def draw(found: dict[str, Measured]) -> None:
    """Tokens per second and validation loss, side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = list(found)
    figure, (speed, loss) = plt.subplots(1, 2, figsize=(8, 2.8))
    speed.bar(names, [found[name].tokens_per_s for name in names], color=["#2f855a", "0.7", "0.7"])
    speed.set_ylabel("tokens of the rows per second")
    loss.bar(names, [found[name].val_loss for name in names], color=["#2f855a", "0.7", "0.7"])
    loss.axhline(found["ours"].base_loss, color="0.4", linestyle="--", label="base model")
    loss.set_ylabel("validation loss, answers only")
    loss.set_ylim(top=1.3 * max(item.val_loss for item in found.values()))
    loss.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    """Measure, print a table, draw the plot, end with the result line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rows and steps")
    parser.add_argument("--base", default="starter", help="base model (default: %(default)s)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where it trains")
    parser.add_argument("--rows", type=int, default=80, help="examples (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends, too
    num_rows, max_steps = (48, 6) if arguments.quick else (arguments.rows, 0)
    with tempfile.TemporaryDirectory() as name:
        bench = open_bench(Path(name), arguments.base, arguments.device, num_rows)
        recipes = choose_recipes(bench, max_steps)
        found: dict[str, Measured] = {}
        for kind, recipe in recipes.items():
            is_ours = kind == "ours"
            found[kind] = (
                measure_ours(bench, recipe) if is_ours else measure_peer(bench, kind, recipe)
            )
            figures = {key: round(value, 4) for key, value in asdict(found[kind]).items() if value}
            line = "  ".join(f"{key} {value:g}" for key, value in figures.items())
            print(f"{kind:8} {line}", flush=True)
    if not arguments.quick:
        draw(found)
    print("RESULT", json.dumps({k: round(v, 4) for k, v in summarize(found).items()}))


if __name__ == "__main__":
    main()
