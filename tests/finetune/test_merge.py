"""A merged model is the base's twin in all but its weights, and says what base and adapter say."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from finetune.merge import (
    MergeError,
    convert_to_gguf,
    find_converter,
    merge_adapter,
    merge_in_own_process,
)
from tests.tiny_models import Kind, build_adapter, build_model


def folders(tmp_path: Path, kind: Kind = "llama") -> tuple[Path, Path]:
    base = build_model(tmp_path / "base", kind)
    return base, build_adapter(tmp_path / "adapter", base)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3", "gemma3"])
def test_the_merged_model_says_what_base_and_adapter_say(kind: Kind, tmp_path: Path) -> None:
    base, adapter = folders(tmp_path, kind)
    report = merge_adapter(base, adapter, tmp_path / "merged")
    assert report.largest_difference < 1e-3 * report.largest_logit
    assert report.eos_token == "</s>"
    merged = tmp_path / "merged"
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (merged / name).read_bytes() == (base / name).read_bytes()
    assert {path.suffix for path in merged.iterdir()} <= {".json", ".safetensors", ".jinja"}
    changed = load_file(merged / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    before = load_file(base / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert not np.allclose(changed, before)


def test_a_folder_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    base, adapter = folders(tmp_path)
    with pytest.raises(MergeError) as caught:
        merge_adapter(base, adapter, base)
    assert caught.value.code == "target_exists"


def test_an_adapter_with_values_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    base, adapter = folders(tmp_path)
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file({**weights, name: np.full_like(weights[name], np.nan)}, path)
    with pytest.raises(MergeError, match="no numbers") as caught:
        merge_adapter(base, adapter, tmp_path / "merged")
    assert caught.value.code == "bad_adapter"
    assert not (tmp_path / "merged").exists()


def test_without_llama_cpp_gguf_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_converter() is None
    with pytest.raises(MergeError, match="LLAMA_CPP_DIR") as caught:
        convert_to_gguf(tmp_path)
    assert caught.value.code == "no_converter"


def test_a_converter_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text("raise SystemExit('unknown architecture')")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    with pytest.raises(MergeError, match="unknown architecture"):
        convert_to_gguf(tmp_path)


def test_errors_of_the_process_keep_their_code(tmp_path: Path) -> None:
    base, adapter = folders(tmp_path)
    with pytest.raises(MergeError) as caught:
        merge_in_own_process(base, adapter, base)
    assert caught.value.code == "target_exists"
    assert json.loads((base / "config.json").read_text())["model_type"] == "llama"
