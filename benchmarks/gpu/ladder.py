"""The ladder of levers: what is on at each rung. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.gpu.results import Measured
from benchmarks.gpu.sections import cells_of, find_section

# With every lever off.
_GROUND: Final[Mapping[str, Any]] = {
    "rows_at_once": 1,
    "gradient_checkpointing": True,
    "whole_logits": True,
    "varlen": False,
    "layer_kernels": False,
    "torch_compile": False,
    "optimizer": "adamw_torch",
}


def climb(rung: str, known: Mapping[str, Measured], *, is_dry: bool = False) -> dict[str, Any]:
    """What is on at this rung: its own lever and all below it that could be measured."""
    options = dict(_GROUND)
    for cell in cells_of(find_section("levers"), is_dry=is_dry):
        before = known.get(cell.name)
        if cell.name == rung or not (before and before.error):
            options |= cell.options
        if cell.name == rung:
            return options
    raise ValueError(f"there is no rung {rung}")
