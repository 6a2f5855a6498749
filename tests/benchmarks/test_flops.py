import pytest

from benchmarks.gpu.flops import Work, step_flops, utilisation
from finetune.model_shape import ModelShape

# One layer with q (8×4) and down (4×16): 96 parameters in linear layers.
TINY = ModelShape(
    num_parameters=96 + 40,
    num_linear=96,
    hidden_size=4,
    intermediate_size=16,
    num_layers=1,
    query_size=8,
    key_size=4,
    vocab_size=10,
    linears=(("q_proj", 8, 4), ("down_proj", 4, 16)),
    normed=8,
)


def test_a_frozen_parameter_costs_four_operations_a_token_and_a_trained_one_six() -> None:
    work = Work(num_tokens=1, num_scored=0, row_length=0)
    assert step_flops(TINY, 0, work) == 4 * 96
    assert step_flops(TINY, 10, work) == 4 * 96 + 6 * 10


def test_only_learnt_tokens_reach_the_output_layer() -> None:
    without = step_flops(TINY, 0, Work(8, 0, 0))
    assert step_flops(TINY, 0, Work(8, 3, 0)) - without == 3 * 4 * 4 * 10


def test_attention_grows_with_the_length_of_the_row_not_of_the_batch() -> None:
    short, long = (step_flops(TINY, 0, Work(64, 0, length)) for length in (8, 16))
    assert long - short == 6 * 8 * 8 * 64  # 6 · queries · 8 more tokens a row · tokens


def test_a_step_of_mistral_7b_is_what_is_known_of_it() -> None:
    """4 × 6.98 billion operations a token, a few percent of attention and adapters on top."""
    mistral = ModelShape(
        7_250_000_000, 6_979_321_856, 4096, 14_336, 32, 4096, 1024, 32_768, (), 8192
    )
    per_token = step_flops(mistral, 42_000_000, Work(16_384, 4096, 1024)) / 16_384
    assert per_token == pytest.approx(4 * 6.98e9, rel=0.06)


def test_utilisation_is_the_share_of_the_measured_rate() -> None:
    assert utilisation(4e14, 1.0, 8e14) == 0.5
