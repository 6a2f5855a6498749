"""LoRA on CPUs inside vLLM: one matrix product for each adapter in a batch. See vllm_cpu.py, which
puts it in place; only vLLM's engine process imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

NO_ADAPTER = -1


class GroupedLora(PunicaWrapperCPU):  # type: ignore[misc]
    """vLLM's wrapper with the one method that costs replaced."""

    _groups: Sequence[tuple[int, Any]] = ()

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """A new batch: note which rows belong to which adapter."""
        super().update_metadata(*args, **kwargs)
        self._groups = group_rows(self.token_lora_indices)

    def add_lora_linear(
        self,
        y: Any,
        x: Any,
        lora_a_stacked: tuple[Any, ...],
        lora_b_stacked: tuple[Any, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **_: Any,
    ) -> None:
        """Add each row's adapter to y in place; y holds the slices (q, k, v) side by side."""
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        offset = 0
        for a, b, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            target = y[:, offset : offset + width]
            for slot, rows in self._groups:
                add_adapter(target, x, rows, (a[slot, 0], b[slot, 0], scale))
            offset += width


def group_rows(slots: Any) -> list[tuple[int, Any]]:
    """Slot numbers of a batch's rows as (slot, rows); rows None means all of them."""
    present = slots.unique().tolist()
    if len(present) == 1:
        return [] if present[0] == NO_ADAPTER else [(present[0], None)]
    return [(slot, (slots == slot).nonzero()[:, 0]) for slot in present if slot != NO_ADAPTER]


def add_adapter(target: Any, x: Any, rows: Any, weights: tuple[Any, Any, float]) -> None:
    """target[rows] += scale * x[rows] @ a.T @ b.T, in x's precision."""
    a, b, scale = weights
    narrow = (x if rows is None else x[rows]).to(a.dtype) @ a.t()
    if rows is None:
        target.addmm_(narrow.to(target.dtype), b.t().to(target.dtype), alpha=scale)
    else:
        target.index_add_(0, rows, (narrow @ b.t()).to(target.dtype), alpha=scale)
