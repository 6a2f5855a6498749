"""Write the adapter that a training leaves: whole and checked, or not there at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetune.adapter_checks import check_adapter
from finetune.base_texts import hash_base_texts
from finetune.job import TrainingJob
from finetune.knobs import MAX_RANK
from finetune.training_setup import Setup


def write_adapter(trainer: Any, setup: Setup, target: Path) -> dict[str, Any]:
    """The folder with config and safetensors, nothing else; returns what a server will find.

    Every process calls it, because the parts of a sharded model must be gathered; one writes.
    """
    options: dict[str, Any] = {"save_embedding_layers": False, "selected_adapters": ["default"]}
    if trainer.is_fsdp_enabled:
        options["state_dict"] = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return {}
    building = target.with_name(f"{target.name}.new")
    for folder in (target, building):
        shutil.rmtree(folder, ignore_errors=True)
    model = trainer.accelerator.unwrap_model(trainer.model)
    # DPO and KTO hold a second adapter to compare with; it must not be written.
    model.save_pretrained(building, **options)
    (building / "README.md").unlink(missing_ok=True)
    _name_base(building, setup.job)
    facts = check_adapter(building, Path(setup.job.base.path), MAX_RANK)
    building.rename(target)
    return {
        **asdict(facts),
        "base_model": setup.job.base.name,
        "base_revision": setup.job.base.revision,
        **hash_base_texts(Path(setup.job.base.path)),
    }


def _name_base(adapter_dir: Path, job: TrainingJob) -> None:
    """The adapter names its base, not a folder of the machine that trained it."""
    path = adapter_dir / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = job.base.name
    config["revision"] = job.base.revision
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")
