"""The card of an exported model."""

from finetune.model_card import write_card

MANIFEST = {
    "version": "v0003",
    "base_model": "kanana",
    "dataset_id": "abc",
    "recipe": {"name": "balanced", "r": 16},
    "result": {"steps": 75, "eval_loss": 0.4},
    "report": {
        "metrics": [
            {"name": "valid", "value": 0.98, "count": 64},
            {"name": "missing", "value": None, "count": 0},
        ]
    },
}


def test_the_card_names_base_training_and_figures() -> None:
    card = write_card(MANIFEST, is_merged=False)
    assert "base_model: kanana" in card
    assert "library_name: peft" in card
    assert "- optimizer steps: 75" in card
    assert "| valid | 0.98 | 64 |" in card
    assert "missing" not in card


def test_a_merged_model_is_one_for_transformers() -> None:
    assert "library_name: transformers" in write_card(MANIFEST, is_merged=True)


def test_without_figures_it_says_so() -> None:
    card = write_card({"version": "v1", "base_model": "b"}, is_merged=True)
    assert "Nothing was measured." in card
