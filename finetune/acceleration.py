"""How a training step is computed, beside what it computes. Pure; torch is asked by the caller.

`make gpu-check` measures each of these on a card; docs/gpu-report.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Acceleration:
    """Switches that change the speed of a step and nothing else."""

    varlen: bool = False  # the rows of a batch one after another, without padding between them
    repeated_keys: bool = False  # for kernels that know no shared keys
    layer_kernels: bool = False  # Liger's norms, rotations and activations
    torch_compile: bool = False
    optimizer: str = "adamw_torch_fused"


def choose_acceleration(device: str, precision: str, *, has_varlen: bool) -> Acceleration:
    """What pays without a doubt: no padding, where the card has the kernel for it.

    The kernel takes half precision only. The trainer proves it on the first batch, and goes back
    to padded rows where it computes something else.
    """
    is_card = device == "cuda"
    varlen = is_card and precision in ("bf16", "fp16") and has_varlen
    return Acceleration(varlen=varlen, repeated_keys=is_card and not varlen)
