import pytest

from benchmarks.gpu.shapes import SHAPES, model_config

# Parameters in billions, by the models' own pages.
KNOWN = {"gemma-1b": 1.0, "qwen-1.7b": 1.72, "kanana-2b": 2.09, "mistral-7b": 7.25}


def count_parameters(config: dict) -> int:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    layer = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * inner
    embeddings = config["vocab_size"] * hidden * (1 if config["tie_word_embeddings"] else 2)
    return config["num_hidden_layers"] * layer + embeddings


@pytest.mark.parametrize("name", SHAPES)
def test_the_shapes_have_the_sizes_of_the_models_they_are_named_for(name: str) -> None:
    assert count_parameters(model_config(name)) / 1e9 == pytest.approx(KNOWN[name], rel=0.02)


@pytest.mark.parametrize("name", SHAPES)
def test_the_tiny_ones_are_of_the_same_architecture_and_hold_the_tokenizer(name: str) -> None:
    real, tiny = model_config(name), model_config(name, is_tiny=True)
    assert tiny["architectures"] == real["architectures"]
    assert count_parameters(tiny) < 3e6
    assert tiny["vocab_size"] >= 6144


def test_kanana_needs_its_cure_at_both_sizes() -> None:
    for is_tiny in (False, True):
        config = model_config("kanana-2b", is_tiny=is_tiny)
        assert config["hidden_size"] % config["num_attention_heads"]
