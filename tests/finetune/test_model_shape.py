from pathlib import Path

import pytest

from finetune.model_shape import describe_shape, read_shape
from tests.tiny_models import KINDS, Kind, build_model


@pytest.mark.parametrize("kind", KINDS)
def test_the_shape_is_read_from_the_files_of_each_architecture(kind: Kind, tmp_path: Path) -> None:
    shape = read_shape(build_model(tmp_path, kind))
    assert shape.num_layers == 2
    assert [name for name, _, _ in shape.linears] == [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ]
    assert shape.num_linear < shape.num_parameters


def test_a_gemma_is_known_by_its_config() -> None:
    sizes = {"model_type": "gemma3_text", "num_attention_heads": 4, "hidden_size": 8,
             "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 10}  # fmt: skip
    assert describe_shape(sizes, {}).is_wide
    assert not describe_shape({**sizes, "model_type": "llama"}, {}).is_wide
