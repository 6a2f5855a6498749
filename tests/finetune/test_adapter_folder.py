"""A version on disk: whole or not there, and every byte accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune.adapter_folder import (
    ADAPTER_FILES,
    MANIFEST,
    RegistryError,
    build_folder,
    read_manifest,
    verify_adapter,
)
from tests.finetune.fake_serving import write_adapter


@pytest.fixture
def version_dir(tmp_path: Path) -> Path:
    source = write_adapter(tmp_path / "run", "good", {"README.md": "made by a trainer"})
    target = tmp_path / "adapters" / "v0001"
    build_folder(target, source, {"version": "v0001", "name": "한글"})
    return target


def test_a_version_holds_what_a_server_needs_and_nothing_else(version_dir: Path) -> None:
    assert {path.name for path in version_dir.iterdir()} == {*ADAPTER_FILES, MANIFEST}
    assert [path.name for path in version_dir.parent.iterdir()] == ["v0001"]


def test_the_manifest_has_size_and_sha256_of_every_file(version_dir: Path) -> None:
    manifest = verify_adapter(version_dir)
    assert manifest["name"] == "한글"
    assert manifest["files"].keys() == set(ADAPTER_FILES)
    assert manifest["files"]["adapter_model.safetensors"]["bytes"] == 4


def test_any_flipped_byte_is_found_and_the_file_named(version_dir: Path) -> None:
    for path in sorted(version_dir.iterdir()):
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(RegistryError) as caught:
                verify_adapter(version_dir)
            assert str(path) in str(caught.value)
            assert caught.value.code in ("changed_file", "broken_manifest")
        path.write_bytes(whole)
    verify_adapter(version_dir)


@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_a_missing_file_is_named(version_dir: Path, name: str) -> None:
    (version_dir / name).unlink()
    with pytest.raises(RegistryError, match=name) as caught:
        verify_adapter(version_dir)
    assert caught.value.code == "missing_file"


def test_a_file_that_was_never_published_is_refused(version_dir: Path) -> None:
    (version_dir / "evil.bin").write_bytes(b"pickle")
    with pytest.raises(RegistryError, match=r"evil\.bin") as caught:
        verify_adapter(version_dir)
    assert caught.value.code == "extra_file"


def test_a_folder_without_a_manifest_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        read_manifest(tmp_path)
    assert caught.value.code == "no_manifest"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest":"x"}', "\udcff"])
def test_a_manifest_of_any_content_is_broken(version_dir: Path, text: str) -> None:
    (version_dir / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RegistryError) as caught:
        read_manifest(version_dir)
    assert caught.value.code == "broken_manifest"


def test_the_manifest_is_readable_json(version_dir: Path) -> None:
    text = (version_dir / MANIFEST).read_text(encoding="utf-8")
    assert json.loads(text)["version"] == "v0001"
    assert "한글" in text


@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_a_run_without_an_adapter_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    source = write_adapter(tmp_path / "run", "good")
    (source / name).unlink()
    with pytest.raises(RegistryError, match=name) as caught:
        build_folder(tmp_path / "adapters" / "v0001", source, {})
    assert caught.value.code == "no_adapter_files"
    assert list((tmp_path / "adapters").iterdir()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "run", "good")
    secret = tmp_path / "secret"
    secret.write_text("good")
    (source / "adapter_model.safetensors").unlink()
    (source / "adapter_model.safetensors").symlink_to(secret)
    with pytest.raises(RegistryError, match="no adapter_model"):
        build_folder(tmp_path / "adapters" / "v0001", source, {})


def test_a_version_is_never_built_over_another(version_dir: Path, tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "other", "stuffed")
    with pytest.raises(OSError, match="v0001"):
        build_folder(version_dir, source, {})
    assert verify_adapter(version_dir)["version"] == "v0001"
    assert [path.name for path in version_dir.parent.iterdir()] == ["v0001"]
