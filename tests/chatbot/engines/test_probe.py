import json
from pathlib import Path
from typing import Any

import pytest

from chatbot.engines.base import AdapterRef, EngineError
from chatbot.engines.probe import check_adapter_folder, compare
from tests.tiny_models import LoraShape, build_adapter, build_model

REF = AdapterRef("v0001", Path("/adapters/v0001"))


def _adapter(tmp_path: Path, **config: Any) -> AdapterRef:
    model = build_model(tmp_path / "model")
    return AdapterRef("v1", build_adapter(tmp_path / "a", model, LoraShape(config=config)))


def test_the_probe_is_the_mean_absolute_difference() -> None:
    probe = compare(REF, [-1.0, -2.0], [-1.5, -1.75])
    assert (probe.mean_abs_logprob_diff, probe.num_tokens) == (0.375, 2)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ([-1.0, -2.0], "no_effect"),
        ([-1.00001, -2.0], "no_effect"),
        ([float("nan"), -2.0], "no_effect"),
        ([-1.0], "bad_adapter"),
        ([], "bad_adapter"),
    ],
)
def test_an_adapter_without_effect_is_refused(other: list[float], code: str) -> None:
    with pytest.raises(EngineError) as caught:
        compare(REF, [-1.0, -2.0], other)
    assert caught.value.code == code


def test_a_good_folder_passes(tmp_path: Path) -> None:
    check_adapter_folder(_adapter(tmp_path), max_lora_rank=8)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"r": 16}, "rank r is 16"),
        ({"rank_pattern": {"q_proj": 99}}, "rank r is 99"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"target_modules": ["q_proj", "lm_head"]}, "adapts lm_head"),
        ({"peft_type": "IA3"}, "no LoRA"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_reason(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=words):
        check_adapter_folder(_adapter(tmp_path, **config), max_lora_rank=8)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    adapter = _adapter(tmp_path)
    (adapter.path / name).unlink()
    with pytest.raises(EngineError, match=name):
        check_adapter_folder(adapter, max_lora_rank=8)


def test_a_relative_or_missing_folder_is_refused(tmp_path: Path) -> None:
    for path in (Path("here"), tmp_path / "nowhere"):
        with pytest.raises(EngineError, match="no folder"):
            check_adapter_folder(AdapterRef("v1", path), max_lora_rank=8)


def test_a_config_that_is_no_json_is_refused(tmp_path: Path) -> None:
    adapter = _adapter(tmp_path)
    (adapter.path / "adapter_config.json").write_text(json.dumps([1]))
    with pytest.raises(EngineError, match="no LoRA"):
        check_adapter_folder(adapter, max_lora_rank=8)
