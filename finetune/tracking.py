"""Weights & Biases: online when logged in, offline or off by setting. The same figures always
stand in the app's own database.
"""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from finetune.job import ADAPTER_DIR, TrainingJob

Mode = Literal["online", "offline", "off"]
PROJECT: Final = "ecoloop"
_HOST: Final = "api.wandb.ai"


def choose_mode(setting: str, environment: Mapping[str, str], home: Path) -> Mode:
    """What "auto" means here: online where somebody logged in, else off."""
    wished = environment.get("WANDB_MODE", "")
    if setting == "off" or wished == "disabled":
        return "off"
    if setting == "offline" or wished == "offline":
        return "offline"
    is_logged_in = bool(environment.get("WANDB_API_KEY")) or _has_login(environment, home)
    if setting == "online":
        return "online" if is_logged_in else "offline"
    return "online" if is_logged_in else "off"


def _has_login(environment: Mapping[str, str], home: Path) -> bool:
    path = Path(environment.get("NETRC", home / ".netrc"))
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(str(path)).authenticators(_HOST) is not None
    return False


def make_environment(mode: Mode, run_dir: Path, run_id: str) -> dict[str, str]:
    """Variables that wandb reads before it is imported."""
    return {
        "WANDB_MODE": mode,
        "WANDB_DIR": str(run_dir),
        "WANDB_PROJECT": PROJECT,
        "WANDB_NAME": run_id,
        "WANDB_SILENT": "true",
        "WANDB_LOG_MODEL": "false",
        "WANDB_DISABLE_CODE": "true",
    }


def log_artifacts(job: TrainingJob, run_dir: Path) -> None:
    """The dataset and the adapter of the run that wandb follows, then the end of it."""
    import wandb

    if wandb.run is None:
        return
    folders: dict[str, tuple[str, Path]] = {
        "dataset": (Path(job.dataset_dir).name, Path(job.dataset_dir)),
        "model": (f"adapter-{job.run_id}", run_dir / ADAPTER_DIR),
    }
    for kind, (name, folder) in folders.items():
        artifact: Any = wandb.Artifact(name, type=kind)
        artifact.add_dir(str(folder))
        wandb.log_artifact(artifact)
    wandb.finish()
