import json
from pathlib import Path
from typing import Any

import pytest

from chatbot import base_models
from chatbot.base_models import BaseModel, BaseModelError, find_pad_token, prepare, resolve
from tests.tiny_models import build_model


def _change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_short_name_is_a_hub_id() -> None:
    model = resolve("gemma")
    assert model == BaseModel("gemma", "google/gemma-3-1b-it")
    assert not model.is_local


def test_a_hub_id_is_taken_as_it_is() -> None:
    assert resolve("Qwen/Qwen3-8B", "abc") == BaseModel("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "abc")


def test_a_folder_is_absolute_and_named_after_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    model = resolve("./mine")
    assert (model.name, model.path_or_hub_id) == ("mine", str(tmp_path / "mine"))
    assert prepare(model, tmp_path / "work") == model


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "nonsense", "a/b/c", "", "~/none"])
def test_a_missing_folder_is_said_so(name: str) -> None:
    with pytest.raises(BaseModelError, match="no model folder") as caught:
        resolve(name)
    assert caught.value.code == "missing_folder"


def test_a_missing_starter_model_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_models, "SHORT_NAMES", {"starter": str(tmp_path / "gone")})
    with pytest.raises(BaseModelError, match="git checkout"):
        resolve("starter")


def test_a_folder_without_config_or_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"no config\.json"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BaseModelError, match="cannot be read"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BaseModelError, match=r"no \.safetensors") as caught:
        resolve(str(tmp_path))
    assert caught.value.code == "broken_folder"


def test_kanana_gets_a_config_that_loads_beside_links_to_its_files(tmp_path: Path) -> None:
    folder = build_model(tmp_path / "kanana", "kanana")
    cured = prepare(resolve(str(folder)), tmp_path / "work")
    target = Path(cured.path_or_hub_id)
    config = json.loads((target / "config.json").read_text())
    assert config["model_type"] == "mistral"
    assert config["architectures"] == ["MistralForCausalLM"]
    assert config["sliding_window"] is None
    assert config["head_dim"] == 32
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert (target / "model.safetensors").resolve() == folder / "model.safetensors"
    written_at = {path: path.lstat().st_mtime_ns for path in target.iterdir()}
    assert prepare(resolve(str(folder)), tmp_path / "work") == cured
    assert {path: path.lstat().st_mtime_ns for path in target.iterdir()} == written_at


def test_qwen3_answers_without_thinking_aloud(tmp_path: Path) -> None:
    model = resolve(str(build_model(tmp_path / "q", "qwen3")))
    assert model.chat_template_kwargs == {"enable_thinking": False}


def test_mistral_is_served_from_the_files_that_have_the_chat_template(tmp_path: Path) -> None:
    folder = build_model(tmp_path / "m", "mistral")
    (folder / "consolidated.safetensors").touch()
    assert resolve(str(folder)).vllm_args == (
        *("--tokenizer-mode", "hf"),
        *("--config-format", "hf"),
        *("--load-format", "safetensors"),
    )


def test_the_pad_token_is_never_the_end_token(tmp_path: Path) -> None:
    settings = build_model(tmp_path / "m") / "tokenizer_config.json"
    assert find_pad_token(tmp_path / "m") == "<pad>"
    _change(settings, pad_token="</s>", eos_token={"content": "</s>"})
    assert find_pad_token(tmp_path / "m") == "<pad>"
    _change(settings, pad_token=None, eos_token="<pad>")
    assert find_pad_token(tmp_path / "m") is None


class TestDownload:
    """What the hub answers, as errors that say what to do."""

    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        answer: dict[str, Any] = {}

        def snapshot_download(hub_id: str, **options: Any) -> str:
            answer.update(hub_id=hub_id, **options)
            if "error" in answer:
                raise answer["error"]
            return str(answer["folder"])

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
        return answer

    def test_the_files_are_fetched_at_the_revision(
        self, hub: dict[str, Any], tmp_path: Path
    ) -> None:
        hub["folder"] = build_model(tmp_path / "snapshots" / "c0ffee")
        model = prepare(resolve("a/b", "main"), tmp_path / "work")
        assert (model.name, model.path_or_hub_id) == ("a/b", str(hub["folder"]))
        assert (model.revision, hub["revision"]) == ("c0ffee", "main")
        assert "consolidated*" in hub["ignore_patterns"]

    @pytest.mark.parametrize(
        ("error", "code", "words"),
        [
            ("GatedRepoError", "gated_model", "Accept its terms"),
            ("RepositoryNotFoundError", "unknown_model", "no model 'a/b'"),
            ("LocalEntryNotFoundError", "no_network", "could not be downloaded"),
        ],
    )
    def test_a_refusal_says_what_to_do(
        self, error: str, code: str, words: str, hub: dict[str, Any], tmp_path: Path
    ) -> None:
        import httpx
        from huggingface_hub import errors

        response = httpx.Response(403, request=httpx.Request("GET", "https://hub"))
        kind = getattr(errors, error)
        hub["error"] = kind("no") if error.startswith("Local") else kind("no", response=response)
        with pytest.raises(BaseModelError, match=words) as caught:
            prepare(resolve("a/b"), tmp_path)
        assert caught.value.code == code
