"""Adapter versions: publish one, list them, and move the alias that says which one answers.

Publishing is folder first, row second; what a crash leaves between the two is taken up by
adopt_orphans. Promotion and rollback are one transaction each; swap.py makes the engine follow.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from feedback_store.records import Adapter, AdapterState, AliasEvent, Run
from feedback_store.store import Store
from finetune.adapter_folder import (
    BUILDING_PREFIX,
    RegistryError,
    adapter_dir,
    adapters_dir,
    build_folder,
    manifest_bytes,
    package_versions,
    run_adapter_dir,
    verify_adapter,
)
from finetune.gate import Verdict
from finetune.report import Report
from finetune.run_files import current_time

PRODUCTION: Final = "production"
CANARY: Final = "canary"
_FORMAT: Final = 1
# The timer's reconcile must not clear what another thread is building.
_PUBLISHING: Final = threading.RLock()


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


def _describe(run: Run, adapter_version: str, report: Report, verdict: Verdict) -> dict[str, Any]:
    """The papers of a version, except for its files."""
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
        "packages": package_versions(),
        "created_at": current_time(),
    }
    # The row gets what a reader of the folder gets: plain JSON types.
    return cast("dict[str, Any]", json.loads(manifest_bytes(manifest)))


def publish_adapter(
    store: Store, data_dir: Path, run: Run, report: Report, verdict: Verdict
) -> Adapter:
    """Make the run's adapter an immutable version with its report and verdict, passed or not."""
    with _PUBLISHING:
        adopt_orphans(store, data_dir)
        manifest = _describe(run, store.next_adapter_version(), report, verdict)
        target = adapter_dir(data_dir, manifest["version"])
        build_folder(target, run_adapter_dir(data_dir, run.run_id), manifest)
        return store.add_adapter(_record(data_dir, manifest))


def _adopt(store: Store, data_dir: Path, path: Path) -> bool:
    try:
        manifest = verify_adapter(path)
    except RegistryError:
        return False  # no published version; left for a person to look at
    if manifest["version"] != path.name:
        return False  # a copy under another name
    record = _record(data_dir, manifest)
    # A restored older database may know neither the run nor the dataset.
    if record.run_id is not None and store.get_run(record.run_id) is None:
        record = replace(record, run_id=None)
    if record.dataset_id is not None and store.get_dataset(record.dataset_id) is None:
        record = replace(record, dataset_id=None)
    store.add_adapter(record)
    return True


def adopt_orphans(store: Store, data_dir: Path) -> list[str]:
    """Take up whole folders that a crash kept out of the database; clear half-built ones."""
    root = adapters_dir(data_dir)
    root.mkdir(parents=True, exist_ok=True)
    adopted = []
    with _PUBLISHING:
        for path in sorted(root.iterdir()):
            if path.name.startswith(BUILDING_PREFIX):
                shutil.rmtree(path, ignore_errors=True)
            elif (
                path.is_dir()
                and store.get_adapter(path.name) is None
                and _adopt(store, data_dir, path)
            ):
                adopted.append(path.name)
    return adopted


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


def locate_version(store: Store, adapter_version: str) -> Path:
    """Its folder, absolute; right also where the data folder was moved since it was published."""
    return adapter_dir(store.data_dir, adapter_version)


def check_promotable(
    store: Store, adapter_version: str, reason: str, *, override: bool = False
) -> None:
    """Raise unless the version passed its gate, or a person overrides it with a typed reason."""
    adapter = get_version(store, adapter_version)
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
    verify_adapter(locate_version(store, adapter_version))


def promote(
    store: Store, adapter_version: str | None, actor: str, reason: str, *, override: bool = False
) -> AliasEvent:
    """Make a verified version (None: the base) the one that answers: one transaction."""
    if production_version(store) == adapter_version:
        name = adapter_version or "The base model"
        raise RegistryError("already_production", f"{name} is production already.")
    if adapter_version is not None:
        check_promotable(store, adapter_version, reason, override=override)
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
        verify_adapter(locate_version(store, adapter_version))
    except RegistryError:
        return False
    return True


def previous_version(store: Store) -> str | None:
    """The version that a rollback goes to; None is the base. Raises nothing_to_roll_back."""
    earlier = _trail(store)[:-1]
    if not earlier:
        raise RegistryError("nothing_to_roll_back", "The base model answers; nothing is older.")
    return next(item for item in reversed(earlier) if _is_sound(store, item))


def retire(store: Store, adapter_version: str) -> None:
    """Never offer a version again; its folder stays, because a server may hold it."""
    get_version(store, adapter_version)
    if adapter_version in (*_trail(store)[-2:], store.get_alias(CANARY)):
        raise RegistryError(
            "in_use",
            f"{adapter_version} answers people, is the way back or is on trial; "
            "it cannot be retired.",
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
        moved = promotions.get(adapter.version)
        verdict = adapter.verdict
        rows.append(
            VersionRow(
                adapter=adapter,
                is_production=adapter.version == production,
                outcome=verdict.get("outcome", "incomplete"),
                reasons=tuple(reason["message"] for reason in verdict.get("reasons", ())),
                figures={m["name"]: m["value"] for m in adapter.report.get("metrics", ())},
                promoted_at=moved.created_at if moved else None,
                promoted_by=moved.actor if moved else None,
                promoted_because=moved.reason if moved else None,
            )
        )
    return rows
