"""Attention over rows that stand one after another in a single sequence, each seeing only itself.

On a card by torch's own variable-length kernel, which never looks across a border; on the CPU row
by row, which is what the tests compare. A batch that is padded goes the usual way. Imports torch
and transformers: only the training process loads it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME: Final = "varlen"
_REPEATED: Final = "repeated"
_is_flat = False  # whether the batch of the running forward pass has no padding


def has_kernel() -> bool:
    """Whether this torch and this card have the kernel: compute capability 8.0 or newer."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] < 8:
        return False
    try:
        from torch.nn.attention import varlen
    except ImportError:
        return False
    return hasattr(varlen, "varlen_attn")


def use_varlen(model: Any) -> None:
    """Let the model attend this way to batches without padding."""
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, _make_mask)
    model.set_attn_implementation(_NAME)


def use_repeated_keys(model: Any) -> None:
    """Let each query's head have keys and values of its own. Older cards have no kernel for shared
    ones: torch would build whole score matrices instead, and say nothing.
    """
    AttentionInterface.register(_REPEATED, _attend_repeated)
    AttentionMaskInterface.register(_REPEATED, sdpa_mask)
    model.set_attn_implementation(_REPEATED)


def is_varlen(model: Any) -> bool:
    """Whether it does."""
    return bool(model.config._attn_implementation == _NAME)


@contextmanager
def flat_batch() -> Iterator[None]:
    """Around the forward pass of a batch without padding: no mask is built."""
    global _is_flat  # masks are built where nothing can be handed in
    _is_flat = True
    try:
        yield
    finally:
        _is_flat = False


def _make_mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    return None if _is_flat else sdpa_mask(*args, **kwargs)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    borders = kwargs.get("cu_seq_lens_q")
    if borders is None or attention_mask is not None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return found
    # From (1, heads, tokens, size) to (tokens, heads, size).
    rows = [item.transpose(1, 2)[0] for item in (query, key, value)]
    window = kwargs.get("sliding_window")
    scale = kwargs.get("scaling")
    if query.device.type == "cpu":
        attended = _row_by_row(rows, borders, window, scale)
    else:
        attended = _on_card(rows, borders, int(kwargs["max_length_q"]), window, scale)
    return attended[None], None


def _attend_repeated(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    times = query.shape[1] // key.shape[1]
    keys, values = repeat_kv(key, times), repeat_kv(value, times)
    # Without num_key_value_groups it leaves them as they are.
    alone = SimpleNamespace(is_causal=getattr(module, "is_causal", True))
    found: tuple[torch.Tensor, None] = sdpa_attention_forward(
        alone, query, keys, values, attention_mask, **kwargs
    )
    return found


def _on_card(
    rows: list[torch.Tensor],
    borders: torch.Tensor,
    longest: int,
    window: int | None,
    scale: float | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    if rows[0].dtype == torch.float32:  # a norm in full numbers: the kernel takes halves only
        half = torch.get_autocast_dtype(rows[0].device.type)
        rows = [item.to(half) for item in rows]
    options: dict[str, Any] = {"scale": scale, "window_size": (window - 1 if window else -1, 0)}
    if "enable_gqa" in _parameters():  # before, fewer keys than queries needed no switch
        options["enable_gqa"] = True
    attended: torch.Tensor = varlen_attn(*rows, borders, borders, longest, longest, **options)
    return attended


@cache
def _parameters() -> frozenset[str]:
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def _row_by_row(
    rows: list[torch.Tensor], borders: torch.Tensor, window: int | None, scale: float | None
) -> torch.Tensor:
    found = []
    for begin, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        query, key, value = (item[begin:end].transpose(0, 1)[None] for item in rows)
        seen = torch.ones(end - begin, end - begin, dtype=torch.bool).tril()
        if window:
            seen = seen.triu(1 - window)
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=scale, enable_gqa=True
        )
        found.append(attended[0].transpose(0, 1))
    return torch.cat(found)
