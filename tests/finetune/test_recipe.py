"""Recipes: presets, checks, and what is taken from the data."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.recipe import (
    Recipe,
    RecipeError,
    adapt_recipe,
    count_steps,
    explain_recipe,
    list_recipes,
    load_recipe,
    recipe_from_dict,
)

EXPERIENCES = {
    "overnight-v2",
    "all-linear-v3",
    "qv-only",
    "qvko",
    "persona-r16",
    "persona-r64",
    "student-140",
}


def test_the_default_comes_first_and_every_experience_has_a_preset() -> None:
    names = list_recipes()
    assert names[:3] == ("balanced", "quick", "thorough")
    assert set(names[3:]) == EXPERIENCES


@pytest.mark.parametrize("name", list_recipes())
def test_every_preset_loads_and_says_in_two_languages_what_it_is_for(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about
    assert recipe.about_ko


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_survives_plain_types(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe_from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"r": 0}, "out_of_bounds", "r is 0"),
        ({"r": 128}, "out_of_bounds", "r is 128"),  # no server of ours would load it
        ({"r": "8"}, "wrong_type", "r is '8'"),
        ({"r": True}, "wrong_type", "r is True"),
        ({"learning_rate": float("nan")}, "out_of_bounds", "learning_rate"),
        ({"learning_rate": 1.0}, "out_of_bounds", "learning_rate is 1.0"),
        ({"rank": 8}, "unknown_knob", "rank"),
        ({"target_modules": ["lm_head"]}, "out_of_bounds", "lm_head"),
        ({"target_modules": []}, "out_of_bounds", "nothing"),
        ({"target_modules": "q_proj"}, "out_of_bounds", "q_proj"),
        ({"precision": "int8"}, "out_of_bounds", "possible are"),
        ({"max_steps": 10}, "bad_combination", "min_steps"),
        (
            {"effective_batch_size": 8, "per_device_train_batch_size": 3},
            "bad_combination",
            "no multiple",
        ),
    ],
)
def test_a_wrong_knob_is_named(values: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict(values)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_recipe_file_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('about = "Mine."\nnum_train_epochs = 2\ntarget_modules = ["q_proj"]\n')
    recipe = load_recipe(path)
    assert (recipe.name, recipe.num_train_epochs, recipe.target_modules) == (
        "mine",
        2.0,
        ("q_proj",),
    )


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="balanced, quick, thorough") as caught:
        load_recipe("best")
    assert caught.value.code == "unknown_recipe"


def test_a_broken_recipe_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("r = = 8")
    with pytest.raises(RecipeError, match=r"broken\.toml") as caught:
        load_recipe(path)
    assert caught.value.code == "unreadable_recipe"


@given(num_rows=st.integers(1, 100_000))
def test_the_default_always_makes_sixty_steps_or_more(num_rows: int) -> None:
    adapted = adapt_recipe(load_recipe(), num_rows)
    assert count_steps(adapted, num_rows) >= 60


@given(num_rows=st.integers(1, 30_000), name=st.sampled_from(list_recipes()))
def test_adapting_twice_changes_nothing_more(num_rows: int, name: str) -> None:
    adapted = adapt_recipe(load_recipe(name), num_rows)
    assert adapt_recipe(adapted, num_rows) == adapted


def test_small_data_gets_small_batches_before_more_passes() -> None:
    adapted = adapt_recipe(load_recipe(), 200)
    assert (adapted.effective_batch_size, adapted.num_train_epochs) == (8, 3.0)
    tiny = adapt_recipe(load_recipe(), 20)
    assert (tiny.effective_batch_size, tiny.num_train_epochs) == (4, 12.0)


def test_what_a_recipe_fixes_stays_as_it_is() -> None:
    student = load_recipe("student-140")
    adapted = adapt_recipe(student, 140)
    assert adapted == student
    assert count_steps(adapted, 140) == 27


@pytest.mark.parametrize(
    ("num_parameters", "num_rows", "rate"),
    [
        (8_000_000, 200, 1e-3),
        (2_100_000_000, 200, 2e-4),
        (2_100_000_000, 5_000, 1e-4),
        (7_200_000_000, 200, 1e-4),
        (7_200_000_000, 5_000, 5e-5),
    ],
)
def test_the_rate_follows_the_size_of_base_and_data(
    num_parameters: int, num_rows: int, rate: float
) -> None:
    assert adapt_recipe(load_recipe(), num_rows, num_parameters).learning_rate == rate


def test_the_reasons_say_how_many_steps_and_warn_of_too_few() -> None:
    _, reasons = explain_recipe(load_recipe(), 180)
    assert "steps" in {reason.code for reason in reasons}
    _, few = explain_recipe(load_recipe("student-140"), 140)
    assert "few_steps" in {reason.code for reason in few}


def test_no_rows_cannot_be_trained_on() -> None:
    with pytest.raises(RecipeError, match="no row"):
        adapt_recipe(load_recipe(), 0)


def test_a_micro_batch_that_was_asked_for_divides_the_batch() -> None:
    recipe = replace(Recipe(), per_device_train_batch_size=3)
    adapted = adapt_recipe(recipe, 500)
    assert (adapted.effective_batch_size or 0) % 3 == 0
