"""The table of knobs."""

from dataclasses import fields
from pathlib import Path

from finetune.knobs import KNOBS, render_knobs
from finetune.recipe import Recipe


def test_every_field_of_a_recipe_is_documented_with_its_source() -> None:
    assert set(KNOBS) == {item.name for item in fields(Recipe)}
    assert all(knob.doc and knob.source for knob in KNOBS.values())


def test_a_refused_value_is_named_with_its_bounds() -> None:
    assert KNOBS["r"].explain_refusal("r", 0) == "r is 0; it must lie between 1 and 64."
    assert KNOBS["r"].explain_refusal("r", 8) is None
    assert "sft, dpo, kto" in str(KNOBS["kind"].explain_refusal("kind", "rl"))


def test_not_a_number_lies_in_no_bounds() -> None:
    assert KNOBS["learning_rate"].explain_refusal("learning_rate", float("nan")) is not None


def test_the_page_of_recipes_holds_the_very_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "recipes.md"
    assert render_knobs() in page.read_text(encoding="utf-8")
