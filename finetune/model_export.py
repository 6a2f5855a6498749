"""Give a version away: merged into its base or as the adapter alone, with a model card, into a
folder, and from there to the hub.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from chatbot.base_models import prepare, resolve
from feedback_store.store import Store
from finetune.adapter_folder import ADAPTER_FILES, verify_adapter
from finetune.merge import merge_in_own_process, require_converter
from finetune.model_card import write_card
from finetune.registry import get_version, locate_version

CARD_FILE: Final = "README.md"


class ExportError(RuntimeError):
    """A version cannot be given away. `code` is stable: target_exists, no_hub_login, hub_failed.
    The message is a sentence that says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Exported:
    """What stands where now."""

    version: str
    path: str
    is_merged: bool
    gguf: str | None = None
    largest_difference: float | None = None  # of any logit, merged against base and adapter
    url: str | None = None  # on the hub


class Hub(Protocol):
    """The two calls of huggingface_hub.HfApi that are needed."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Make the repository where it does not exist."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        """One commit with everything in the folder."""
        ...


def export_version(
    store: Store, version: str, target: Path, *, is_merged: bool = True, gguf: bool = False
) -> Exported:
    """Merge the version into its base, prove the result, and write its card; or only the adapter.

    The version's files are verified first. Raises RegistryError, MergeError, ExportError.
    """
    adapter = get_version(store, version)
    folder = locate_version(store, version)
    manifest = verify_adapter(folder)
    if target.exists():
        raise ExportError("target_exists", f"{target} exists already. Choose another folder.")
    if is_merged:
        if gguf:
            require_converter()
        base = prepare(resolve(adapter.base_model), store.data_dir / "models")
        report = merge_in_own_process(Path(base.path_or_hub_id), folder, target, gguf=gguf)
        done = Exported(version, str(target), True, report.gguf, report.largest_difference)
    else:
        _copy_adapter(folder, target)
        done = Exported(version, str(target), False)
    card = write_card(manifest, is_merged=is_merged)
    (target / CARD_FILE).write_text(card, encoding="utf-8")
    return done


def _copy_adapter(folder: Path, target: Path) -> None:
    building = target.with_name(f".{target.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for name in ADAPTER_FILES:
        shutil.copyfile(folder / name, building / name)
    building.rename(target)


def push_to_hub(folder: Path, repo_id: str, *, is_public: bool, connect: Callable[[], Hub]) -> str:
    """Upload an exported folder as one commit, private unless asked; returns its address."""
    try:
        hub = connect()
        hub.create_repo(repo_id, private=not is_public, exist_ok=True)
        hub.upload_folder(
            repo_id=repo_id, folder_path=str(folder), commit_message=f"Upload {folder.name}"
        )
    except ExportError:
        raise
    except Exception as error:  # the hub's client raises a family of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            "hub_failed", f"The hub did not take {repo_id}: {reason[:300]} {folder} stays."
        ) from error
    return f"https://huggingface.co/{repo_id}"


def connect_hub() -> Hub:
    """The hub with this machine's login; raises no_hub_login."""
    from huggingface_hub import HfApi, get_token

    if not get_token():
        raise ExportError(
            "no_hub_login", "Nobody is logged in to the hub here. Run `hf auth login` first."
        )
    return HfApi()
