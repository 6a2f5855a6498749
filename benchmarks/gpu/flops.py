"""Floating-point operations of LoRA training, counted from the model's shape.

A frozen matrix costs two passes, forward and the gradient of its input: 4 operations a parameter
and token. An adapter also needs the gradient of its weights: 6. What is computed again under
gradient checkpointing is not counted, as is usual for model FLOP utilisation.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune.model_shape import ModelShape


@dataclass(frozen=True)
class Work:
    """What one step computes on."""

    num_tokens: int  # of all rows, padding not counted
    num_scored: int  # tokens whose prediction is learnt: only they reach the output layer
    row_length: int


def step_flops(shape: ModelShape, num_trainable: int, work: Work) -> float:
    """Operations that the step needs, however it is computed."""
    frozen = 4 * shape.num_linear * work.num_tokens
    adapter = 6 * num_trainable * work.num_tokens
    head = 4 * shape.hidden_size * shape.vocab_size * work.num_scored
    return float(frozen + adapter + head + _attention_flops(shape, work))


def _attention_flops(shape: ModelShape, work: Work) -> float:
    """Scores and their sum over the values, causal: a token sees half of its row on average.

    2 · 2 · queries · row/2 forward, twice that backward. Windows are not taken off.
    """
    return 6.0 * shape.query_size * work.row_length * shape.num_layers * work.num_tokens


def utilisation(flops: float, seconds: float, rate: float) -> float:
    """Share of the card's measured matrix rate that a step used."""
    return flops / seconds / rate
