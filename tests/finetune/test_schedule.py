"""From a recipe to steps."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.recipe import Recipe, adapt_recipe, load_recipe
from finetune.schedule import plan_schedule


def test_two_hundred_rows_make_a_short_run_with_six_evaluations() -> None:
    schedule = plan_schedule(adapt_recipe(load_recipe(), 200), 200, most_at_once=8)
    assert (schedule.total_steps, schedule.warmup_steps, schedule.eval_steps) == (75, 4, 13)
    assert (schedule.per_device_train_batch_size, schedule.gradient_accumulation_steps) == (8, 1)


@given(
    num_rows=st.integers(1, 20_000),
    most=st.integers(1, 64),
    processes=st.sampled_from([1, 2, 4]),
    batch=st.sampled_from([4, 8, 16, 32]),
)
def test_the_effective_batch_is_the_recipes_however_it_is_shared(
    num_rows: int, most: int, processes: int, batch: int
) -> None:
    recipe = adapt_recipe(replace(Recipe(), effective_batch_size=batch), num_rows)
    schedule = plan_schedule(recipe, num_rows, most, processes)
    micro = schedule.per_device_train_batch_size
    assert micro <= most
    assert micro * schedule.gradient_accumulation_steps * processes == batch


def test_halving_keeps_the_effective_batch() -> None:
    recipe = adapt_recipe(load_recipe(), 200)
    schedule = plan_schedule(recipe, 200, most_at_once=8)
    seen = []
    while schedule is not None:
        micro = schedule.per_device_train_batch_size
        seen.append((micro, schedule.gradient_accumulation_steps))
        schedule = schedule.halved()
    assert seen == [(8, 1), (4, 2), (2, 4), (1, 8)]


@pytest.mark.parametrize(("at_once", "expected"), [(8, 4), (4, 2), (2, None), (3, None), (1, None)])
def test_halving_stops_where_a_step_can_be_computed_no_more(
    at_once: int, expected: int | None
) -> None:
    """KTO compares each answer with another one of its batch."""
    recipe = adapt_recipe(load_recipe(), 200)
    schedule = replace(plan_schedule(recipe, 200, 8), per_device_train_batch_size=at_once)
    smaller = schedule.halved(least=2)
    assert (smaller.per_device_train_batch_size if smaller else None) == expected


@pytest.mark.parametrize("num_rows", [20, 200, 2_000, 20_000, 200_000])
def test_evaluations_are_neither_rare_nor_many(num_rows: int) -> None:
    schedule = plan_schedule(adapt_recipe(load_recipe(), num_rows), num_rows, 8)
    assert 5 <= schedule.total_steps / schedule.eval_steps <= 41
