"""Write the adapter that a training leaves: whole and checked, or not there at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetune.adapter_checks import check_adapter
from finetune.job import TrainingJob
from finetune.training_setup import Setup


def write_adapter(trainer: Any, setup: Setup, target: Path) -> dict[str, Any]:
    """The folder with config and safetensors, nothing else; returns what a server will find."""
    building = target.with_name(f"{target.name}.new")
    for folder in (target, building):
        shutil.rmtree(folder, ignore_errors=True)
    model = trainer.accelerator.unwrap_model(trainer.model)
    # DPO and KTO hold a second adapter to compare with; it must not be written.
    model.save_pretrained(building, save_embedding_layers=False, selected_adapters=["default"])
    (building / "README.md").unlink(missing_ok=True)
    _name_base(building, setup.job)
    facts = check_adapter(building, Path(setup.job.base.path), setup.job.max_lora_rank)
    building.rename(target)
    template = setup.tokenizer.chat_template or ""
    return {
        **asdict(facts),
        "base_model": setup.job.base.name,
        "base_revision": setup.job.base.revision,
        "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
        "tokenizer_sha256": _hash_file(Path(setup.job.base.path) / "tokenizer.json"),
    }


def _name_base(adapter_dir: Path, job: TrainingJob) -> None:
    """The adapter names its base, not a folder of the machine that trained it."""
    path = adapter_dir / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = job.base.name
    config["revision"] = job.base.revision
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")


def _hash_file(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
