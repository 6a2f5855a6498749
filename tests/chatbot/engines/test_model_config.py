import json
from pathlib import Path

import pytest

from chatbot.engines.model_config import needs_wide_numbers
from finetune.model_shape import describe_shape
from tests.tiny_models import KINDS, Kind, build_model


@pytest.mark.parametrize("kind", KINDS)
def test_a_gemma_needs_more_than_float16(kind: Kind, tmp_path: Path) -> None:
    assert needs_wide_numbers(str(build_model(tmp_path, kind))) == (kind == "gemma3")


@pytest.mark.parametrize("model_type", ["gemma2", "gemma3_text", "glm4", "llama"])
def test_serving_and_training_agree_on_who_needs_it(model_type: str, tmp_path: Path) -> None:
    """The list is vLLM's own: it refuses these in float16."""
    sizes = {"model_type": model_type, "num_attention_heads": 4, "hidden_size": 8,
             "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 10}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    needs = model_type != "llama"
    assert needs_wide_numbers(str(tmp_path)) is describe_shape(sizes, {}).is_wide is needs


def test_the_text_part_of_a_larger_gemma_decides(tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert needs_wide_numbers(str(tmp_path))
    assert not needs_wide_numbers("owner/unknown")
