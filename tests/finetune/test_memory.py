"""What a training needs, and what is changed until it fits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.memory import GIB, MIB, Load, Machine, Rows, estimate_memory, plan_memory
from finetune.model_shape import ModelShape, count_trainable
from finetune.recipe import Recipe, adapt_recipe, load_recipe

ROWS = Rows(longest=2048, longest_answer=512)


def make_shape(
    hidden: int,
    inner: int,
    layers: int,
    heads: tuple[int, int],
    vocab: int,
    *,
    tied: bool,
    normed: int = 0,
) -> ModelShape:
    """heads: sizes of all queries and of all keys. normed: where it is not two norms a layer."""
    queries, keys = heads
    linears = (
        ("q_proj", queries, hidden),
        ("k_proj", keys, hidden),
        ("v_proj", keys, hidden),
        ("o_proj", hidden, queries),
        ("gate_proj", inner, hidden),
        ("up_proj", inner, hidden),
        ("down_proj", hidden, inner),
    )
    linear = layers * sum(rows * columns for _, rows, columns in linears)
    total = linear + vocab * hidden * (1 if tied else 2)
    return ModelShape(
        total, linear, hidden, inner, layers, queries, keys, vocab, linears, normed or 2 * hidden
    )


MISTRAL = make_shape(4096, 14336, 32, (4096, 1024), 32_768, tied=False)
KANANA = make_shape(1792, 8064, 32, (3072, 1024), 128_256, tied=True)
GEMMA = make_shape(1152, 6912, 26, (1024, 256), 262_144, tied=True, normed=5888)
QWEN = make_shape(4096, 12_288, 36, (4096, 1024), 151_936, tied=False)
QWEN_SMALL = make_shape(2048, 6144, 28, (2048, 1024), 151_936, tied=True, normed=7168)
RECIPE = adapt_recipe(load_recipe(), 500)


def card(total_gib: float, server_gib: float = 0, *, can_sleep: bool = False) -> Machine:
    total, server = round(total_gib * GIB), round(server_gib * GIB)
    return Machine("cuda", total, total - server, server, can_sleep)


# MiB of a step at once, by benchmarks/memory.py: as much as fits on a large card, and as little as
# an old one allows.
LARGE = Load("bf16", "none", 4, 1024, 256, False, "cuda")
SMALL = Load("fp16", "nf4", 2, 1024, 256, True, "cuda")


@pytest.mark.parametrize(
    ("shape", "load", "held_mib"),
    [
        (GEMMA, LARGE, 13_541),
        (QWEN_SMALL, LARGE, 18_322),
        (KANANA, LARGE, 22_020),
        (MISTRAL, LARGE, 46_886),
        (GEMMA, SMALL, 1_519),
        (QWEN_SMALL, SMALL, 2_142),
        (KANANA, SMALL, 2_338),
        (MISTRAL, SMALL, 5_835),
    ],
)
def test_the_estimate_covers_what_a_simulated_step_held_and_little_more(
    shape: ModelShape, load: Load, held_mib: int
) -> None:
    estimate = estimate_memory(shape, RECIPE, load)
    assert 1.0 <= (estimate.total - estimate.process) / MIB / held_mib <= 1.11


def test_preferences_hold_a_second_adapter() -> None:
    pairs = estimate_memory(KANANA, replace(RECIPE, kind="dpo"), LARGE)
    extra = pairs.adapter - estimate_memory(KANANA, RECIPE, LARGE).adapter
    assert extra == 4 * count_trainable(KANANA, RECIPE)


@given(rows=st.sampled_from([1, 2, 4, 8]), length=st.integers(16, 4096))
def test_more_rows_or_longer_ones_never_need_less(rows: int, length: int) -> None:
    small = Load("bf16", "none", rows, length, length // 2, False, "cuda")
    large = replace(small, rows_at_once=2 * rows)
    longer = replace(small, row_length=length + 1)
    need = estimate_memory(KANANA, RECIPE, small).total
    assert estimate_memory(KANANA, RECIPE, large).total > need
    assert estimate_memory(KANANA, RECIPE, longer).total > need


def test_a_large_card_trains_as_it_is() -> None:
    plan = plan_memory(KANANA, RECIPE, Rows(512, 256), card(80))
    assert (plan.choice, plan.load.rows_at_once, plan.load.quantization) == ("fits", 16, "none")


def test_beside_a_server_fewer_rows_are_taken_at_once() -> None:
    plan = plan_memory(KANANA, RECIPE, ROWS, card(24, server_gib=6))
    assert plan.choice == "smaller_batch"
    assert plan.needed <= plan.available


def test_a_seven_billion_base_on_a_small_card_goes_to_four_bits() -> None:
    plan = plan_memory(MISTRAL, RECIPE, ROWS, card(14))
    assert (plan.choice, plan.load.quantization) == ("four_bit", "nf4")
    assert "4 bits" in plan.message


def test_when_only_the_servers_memory_is_missing_it_sleeps() -> None:
    machine = card(24, server_gib=16, can_sleep=True)
    plan = plan_memory(MISTRAL, RECIPE, ROWS, machine)
    assert plan.choice == "server_asleep"
    assert "sleeps" in plan.message
    assert plan_memory(MISTRAL, RECIPE, ROWS, replace(machine, can_sleep=False)).choice == "refused"


def test_a_refusal_has_the_numbers_and_what_to_do() -> None:
    plan = plan_memory(QWEN, RECIPE, ROWS, card(4))
    assert plan.choice == "refused"
    assert "4.0 GiB of 4.0 GiB are free" in plan.message
    assert "max_length" in plan.message


def test_a_recipe_that_forbids_four_bits_never_gets_them() -> None:
    plan = plan_memory(MISTRAL, replace(RECIPE, quantization="none"), ROWS, card(14))
    assert plan.choice == "refused"


def test_what_an_earlier_run_really_used_corrects_the_plan() -> None:
    plain = plan_memory(KANANA, RECIPE, ROWS, card(80))
    more = plan_memory(KANANA, RECIPE, ROWS, card(80), correction=1.5)
    assert more.estimate.activations == pytest.approx(1.5 * plain.estimate.activations, rel=0.01)
    assert more.estimate.weights == plain.estimate.weights


def test_fewer_target_modules_train_fewer_parameters() -> None:
    few = replace(Recipe(), r=8, target_modules=("q_proj", "v_proj"))
    assert count_trainable(MISTRAL, few) == 8 * 32 * ((4096 + 4096) + (4096 + 1024))
    assert count_trainable(MISTRAL, replace(Recipe(), r=8)) > count_trainable(MISTRAL, few)


@pytest.mark.parametrize("gib", [8, 10, 14, 18, 24, 80])
def test_pairs_are_planned_for_two_texts_at_once_or_refused(gib: int) -> None:
    """A worse answer goes through the model beside the better one, also where memory is short."""
    plan = plan_memory(MISTRAL, RECIPE, replace(ROWS, least_at_once=2), card(gib))
    assert plan.load.rows_at_once >= 2
    assert plan.choice == "refused" or plan.needed <= plan.available
    one = plan_memory(MISTRAL, replace(RECIPE, per_device_train_batch_size=1), ROWS, card(gib))
    assert one.load.rows_at_once == 1


@pytest.mark.parametrize(
    ("shape", "has_bf16", "precision"),
    [
        (KANANA, True, "bf16"),
        (KANANA, False, "fp16"),
        (replace(GEMMA, is_wide=True), True, "bf16"),
        (replace(GEMMA, is_wide=True), False, "fp32"),
    ],
)
def test_a_gemma_is_never_trained_in_fp16(
    shape: ModelShape, has_bf16: bool, precision: str
) -> None:
    """Its activations pass what fp16 can hold: the loss would be no number."""
    machine = replace(card(80), has_bf16=has_bf16)
    assert plan_memory(shape, RECIPE, Rows(512, 256), machine).load.precision == precision
