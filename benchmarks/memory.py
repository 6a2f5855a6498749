"""The memory plan against a training step on a card that is only imagined.

    python benchmarks/memory.py [--only gemma-1b,mistral-7b] [--quick] [--json] [--layers 4]

No card is needed, and none is measured: tensors without data go through the product's own trainer
at real sizes, and what is alive at once is added up (benchmarks/simulated). What only a card has
is not in it: the CUDA context and cuBLAS' workspace, which the plan adds, and the holes that the
allocator leaves, for which the plan has its margin.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.gpu.shapes import SHAPES
from benchmarks.simulated.card import plug_in_card
from benchmarks.simulated.training import Case, Simulated, leave_hardware_out, shape_of, simulate
from finetune.memory import MIB, Load, MemoryEstimate, estimate_memory
from finetune.recipe import Recipe

ANSWER_SHARE: Final = 4  # a quarter of each row is learnt
_RECIPE: Final = Recipe(
    r=16,
    lora_alpha=32,
    learning_rate=1e-4,
    num_train_epochs=1,
    lora_dropout=0.05,
    tracking="off",
)


def main() -> int:
    """Command line. Exit code 1: a plan was below what the step held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SHAPES), help="shapes, with commas between them")
    parser.add_argument("--quick", action="store_true", help="the two loads at the ends")
    parser.add_argument("--json", action="store_true", help="one line for each case")
    parser.add_argument("--layers", type=int, help="fewer layers than there are, to be done sooner")
    arguments = parser.parse_args()
    plug_in_card()
    leave_hardware_out()
    if not arguments.json:
        print(_HEAD)
    is_too_low = False
    for found in find_cases(arguments.only.split(","), is_quick=arguments.quick):
        case = replace(found, num_layers=arguments.layers)
        held = simulate(case)
        planned = estimate_memory(shape_of(case), case.recipe, case.load)
        is_too_low |= ratio_of(held, planned) < 1
        line = _to_json if arguments.json else _to_row
        print(line(case, held, planned), flush=True)
    return int(is_too_low)


def find_cases(names: list[str], *, is_quick: bool) -> Iterator[Case]:
    """Each shape in each of the plan's choices."""
    for name in names:
        if is_quick:
            yield _make_case(name, "bf16", "none", False, 4, 1024)
            yield _make_case(name, "fp16", "nf4", True, 2, 1024)
            continue
        for quantization, recompute, rows, length in product(
            ("none", "nf4"), (False, True), (1, 4), (1024, 2048)
        ):
            yield _make_case(name, "bf16", quantization, recompute, rows, length)
        yield _make_case(name, "fp16", "nf4", True, 2, 1024)


def _make_case(
    name: str, precision: str, quantization: str, recompute: bool, rows: int, length: int
) -> Case:
    answer = length // ANSWER_SHARE
    return Case(
        name, Load(precision, quantization, rows, length, answer, recompute, "cuda"), _RECIPE
    )


def ratio_of(held: Simulated, planned: MemoryEstimate) -> float:
    """The plan without the process over what was held, sampled answers included."""
    return (planned.total - planned.process) / max(held.peak, held.sampling)


_HEAD: Final = (
    "| base | numbers | recomputed | rows × tokens | weights | adapter | kept | passing | peak |"
    " answering | planned | planned / peak |\n" + "|---" * 12 + "|"
)


def _to_row(case: Case, held: Simulated, planned: MemoryEstimate) -> str:
    load = case.load
    numbers = load.precision if load.quantization == "none" else f"nf4, {load.precision}"
    parts = (held.weights, held.adapter, held.kept, held.passing, held.peak, held.sampling)
    cells = [
        case.name,
        numbers,
        "yes" if load.gradient_checkpointing else "no",
        f"{load.rows_at_once} × {load.row_length}",
        *(f"{part / MIB:,.0f}" for part in parts),
        f"{(planned.total - planned.process) / MIB:,.0f}",
        f"{ratio_of(held, planned):.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def _to_json(case: Case, held: Simulated, planned: MemoryEstimate) -> str:
    found: dict[str, Any] = {"base": case.name, **asdict(case.load), "held": asdict(held)}
    return json.dumps({**found, "planned": asdict(planned), "ratio": ratio_of(held, planned)})


if __name__ == "__main__":
    sys.exit(main())
