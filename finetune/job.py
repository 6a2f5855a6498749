"""The order that a training process reads: run folder, base model, dataset, recipe.

It is recipe.json in the run's folder; runs.py writes it, train.py reads it. What the process
leaves beside it is named here, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetune.recipe import Recipe, recipe_from_dict

if TYPE_CHECKING:
    from finetune.checks import AnswerFormat

ORDER_FILE: Final = "recipe.json"
METRICS_FILE: Final = "metrics.jsonl"
EVENTS_FILE: Final = "events.jsonl"
ALIVE_FILE: Final = "alive"  # touched with every micro-batch
SAMPLES_FILE: Final = "samples.jsonl"
RESULT_FILE: Final = "result.json"
LOG_FILE: Final = "log.txt"
CHECKPOINTS_DIR: Final = "checkpoints"
PREFERENCES_DIR: Final = "preferences"  # in it, the checkpoints of the second stage
ADAPTER_DIR: Final = "adapter"
SFT_DIR: Final = "sft"  # the first adapter of a run that goes on with preferences
PREFERENCES_FILE: Final = "preferences.jsonl"
_FORMAT: Final = 1


@dataclass(frozen=True)
class Base:
    """The base model as the training process loads it: exactly as the server does."""

    name: str  # as people call it, and as the run records it
    path: str  # a folder of this machine, cured where the model needs it
    revision: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingJob:
    """One training, complete enough for a process of its own, here or on another machine."""

    run_id: str
    recipe: Recipe
    base: Base
    dataset_dir: str
    start_adapter: str | None = None  # KTO and DPO start from an adapter
    device: str = "auto"  # auto, cpu, cuda
    can_server_sleep: bool = False  # then the training may ask for all of the card
    answer_format: AnswerFormat = "recommendation"
    # By device, what earlier runs used over what was predicted; the process knows its device.
    memory_corrections: Mapping[str, float] = field(default_factory=dict)

    def write(self, run_dir: Path) -> None:
        """Leave the order in the run's folder."""
        values = {"format": _FORMAT, **asdict(self), "recipe": self.recipe.to_dict()}
        write_json(run_dir / ORDER_FILE, values)


def read_job(run_dir: Path) -> TrainingJob:
    """The order of a run's folder."""
    values = json.loads((run_dir / ORDER_FILE).read_text(encoding="utf-8"))
    recipe, base = recipe_from_dict(values.pop("recipe")), Base(**values.pop("base"))
    known = {item.name for item in fields(TrainingJob)}  # an order of an earlier version has more
    kept = {name: value for name, value in values.items() if name in known}
    return TrainingJob(recipe=recipe, base=base, **kept)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file in one step, durable before it is seen."""
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
