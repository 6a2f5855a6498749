"""A version leaves the house whole, proven, and with its papers."""

from pathlib import Path
from typing import Any

import pytest

from feedback_store.records import Adapter
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, run_adapter_dir
from finetune.gate import Reason, Verdict
from finetune.merge import MergeError
from finetune.model_export import ExportError, export_version, push_to_hub
from finetune.registry import publish_adapter
from tests.finetune.published import add_run, make_report, publish
from tests.tiny_models import LoraShape, build_adapter, build_model

CONVERTER = """
import sys, pathlib
out = sys.argv[sys.argv.index("--outfile") + 1]
assert (pathlib.Path(sys.argv[1]) / "config.json").is_file()
pathlib.Path(out).write_bytes(b"GGUF")
"""


@pytest.fixture
def version(store: Store) -> Adapter:
    return publish(store, "r1")


class Hub:
    """Takes folders like the real one, or refuses them."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.calls: list[tuple[str, Any]] = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.calls.append((repo_id, private))

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        self.calls.append((repo_id, sorted(path.name for path in Path(folder_path).iterdir())))


def test_the_adapter_alone_leaves_with_its_card(
    store: Store, version: Adapter, tmp_path: Path
) -> None:
    done = export_version(store, "v0001", tmp_path / "out", is_merged=False)
    assert (done.version, done.is_merged, done.gguf) == ("v0001", False, None)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert f"base_model: {version.base_model}" in (tmp_path / "out" / "README.md").read_text()


def test_nothing_is_overwritten_and_nothing_unknown_leaves(
    store: Store, version: Adapter, tmp_path: Path
) -> None:
    with pytest.raises(ExportError) as there:
        export_version(store, "v0001", tmp_path, is_merged=False)
    assert there.value.code == "target_exists"
    with pytest.raises(RegistryError) as unknown:
        export_version(store, "v0009", tmp_path / "out")
    assert unknown.value.code == "unknown_version"


def test_a_version_with_a_changed_byte_does_not_leave(
    store: Store, version: Adapter, tmp_path: Path
) -> None:
    path = Path(version.path) / "adapter_config.json"
    path.chmod(0o644)
    path.write_text(path.read_text() + " ")
    with pytest.raises(RegistryError):
        export_version(store, "v0001", tmp_path / "out", is_merged=False)
    assert not (tmp_path / "out").exists()


def test_a_missing_converter_is_said_before_any_work(
    store: Store, version: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MergeError) as caught:
        export_version(store, "v0001", tmp_path / "out", gguf=True)
    assert caught.value.code == "no_converter"


def test_a_folder_is_pushed_private_as_one_commit(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("card")
    hub = Hub()
    url = push_to_hub(tmp_path, "team/eco", is_public=False, connect=lambda: hub)
    assert url == "https://huggingface.co/team/eco"
    assert hub.calls == [("team/eco", True), ("team/eco", ["README.md"])]


def test_a_hub_that_refuses_is_quoted_and_the_folder_stays(tmp_path: Path) -> None:
    refusing = Hub("403 Forbidden: no write access\ntrace")
    with pytest.raises(ExportError, match="no write access") as caught:
        push_to_hub(tmp_path, "team/eco", is_public=True, connect=lambda: refusing)
    assert caught.value.code == "hub_failed"
    assert tmp_path.is_dir()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_version_is_merged_into_its_own_base_and_converted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = build_model(tmp_path / "base")
    run = add_run(store, "r1", base_model=str(base))
    build_adapter(run_adapter_dir(store.data_dir, "r1"), base, LoraShape(r=4))
    verdict = Verdict("pass", (Reason("gain", "Better."),))
    publish_adapter(store, store.data_dir, run, make_report(), verdict)
    tools = tmp_path / "llama.cpp"
    tools.mkdir()
    (tools / "convert_hf_to_gguf.py").write_text(CONVERTER)
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tools))
    done = export_version(store, "v0001", tmp_path / "out", gguf=True)
    assert done.gguf == str(tmp_path / "out" / "model.gguf")
    assert Path(done.gguf).read_bytes() == b"GGUF"
    assert done.largest_difference is not None
    assert done.largest_difference < 0.01
    assert (tmp_path / "out" / "tokenizer_config.json").read_bytes() == (
        base / "tokenizer_config.json"
    ).read_bytes()
    assert "library_name: transformers" in (tmp_path / "out" / "README.md").read_text()
