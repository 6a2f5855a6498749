"""An adapter is published only if a server would load it and it would do something."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from finetune.adapter_checks import AdapterError, check_adapter, check_served_class, weight_shapes
from tests.tiny_models import KINDS, NO_EFFECT, Kind, LoraShape, build_adapter, build_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    return build_adapter(tmp_path / "adapter", base)


def edit_config(adapter: Path, **values: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_weights(adapter: Path, change: dict[str, float]) -> None:
    """Fill every tensor whose name contains the key with the value."""
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    for part, value in change.items():
        for name in weights:
            if part in name:
                weights[name] = np.full_like(weights[name], value)
    save_file(weights, path)


def refused(adapter: Path, base: Path, max_lora_rank: int = 64) -> str:
    with pytest.raises(AdapterError) as caught:
        check_adapter(adapter, base, max_lora_rank)
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_each_architecture_passes_with_its_figures(
    kind: Kind, tmp_path: Path
) -> None:
    base = build_model(tmp_path / "base", kind)
    facts = check_adapter(build_adapter(tmp_path / "adapter", base), base, 64)
    assert (facts.r, facts.num_tensors) == (8, 2 * 7 * 2)
    assert facts.largest > 0


def test_names_of_another_class_are_refused(tmp_path: Path, base: Path) -> None:
    assert refused(build_adapter(tmp_path / "a", base, NO_EFFECT), base) == "wrong_names"


def test_shapes_of_another_base_are_refused(tmp_path: Path, base: Path, adapter: Path) -> None:
    other = build_model(tmp_path / "other", "kanana")
    assert refused(adapter, other) == "wrong_shapes"


def test_a_rank_that_the_server_does_not_take_is_refused(adapter: Path, base: Path) -> None:
    assert refused(adapter, base, max_lora_rank=4) == "rank_too_high"


@pytest.mark.parametrize(
    "setting",
    [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"bias": "all"}, {"peft_type": "IA3"}],
)
def test_what_the_server_refuses_is_refused_before(
    adapter: Path, base: Path, setting: dict[str, object]
) -> None:
    edit_config(adapter, **setting)
    assert refused(adapter, base) == "not_servable"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(adapter: Path, base: Path, value: float) -> None:
    edit_weights(adapter, {"layers.1.mlp.up_proj.lora_A": value})
    assert refused(adapter, base) == "not_finite"


def test_an_adapter_of_zeros_is_refused(adapter: Path, base: Path) -> None:
    edit_weights(adapter, {"lora_B": 0.0})
    assert refused(adapter, base) == "all_zero"


def test_an_adapter_without_a_base_is_refused(adapter: Path, base: Path) -> None:
    edit_config(adapter, base_model_name_or_path=None)
    assert refused(adapter, base) == "other_base"


def test_missing_and_torn_files_are_refused(adapter: Path, base: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert refused(adapter, base) == "unreadable_adapter"
    weights.unlink()
    assert refused(adapter, base) == "no_adapter"


def test_bfloat16_adapters_are_read(tmp_path: Path, base: Path) -> None:
    adapter = build_adapter(tmp_path / "a", base, replace(LoraShape(), scale=1.0))
    path = adapter / "adapter_model.safetensors"
    tensors = {name: to_bfloat16(values) for name, values in load_file(path).items()}
    write_safetensors(path, tensors)
    assert check_adapter(adapter, base, 64).largest > 0


def to_bfloat16(values: np.ndarray) -> tuple[bytes, list[int]]:
    bits = np.ascontiguousarray(values).view(np.uint32) >> 16
    return bits.astype("<u2").tobytes(), list(values.shape)


def write_safetensors(path: Path, tensors: dict[str, tuple[bytes, list[int]]]) -> None:
    header, at = {}, 0
    for name, (data, shape) in tensors.items():
        offsets = [at, at + len(data)]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
        at += len(data)
    text = json.dumps(header).encode()
    body = b"".join(data for data, _ in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_the_shapes_of_a_base_are_read_without_loading_it(base: Path) -> None:
    assert weight_shapes(base)["model.embed_tokens.weight"] == (512, 64)


def test_a_class_that_is_served_as_another_is_refused(base: Path) -> None:
    check_served_class(base, "LlamaForCausalLM")
    with pytest.raises(AdapterError) as caught:
        check_served_class(base, "Gemma3ForConditionalGeneration")
    assert caught.value.code == "other_class"
