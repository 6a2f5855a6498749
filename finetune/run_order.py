"""The order of a run: written when it starts, brought up to date when it goes on."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from chatbot.base_models import BaseModel, prepare, resolve
from feedback_store.records import Dataset, Run
from feedback_store.store import Store
from finetune.checks import AnswerFormat
from finetune.dataset_diff import locate_dataset
from finetune.job import (
    CHECKPOINTS_DIR,
    EVENTS_FILE,
    PREFERENCES_DIR,
    SFT_DIR,
    Base,
    TrainingJob,
    read_job,
)
from finetune.memory import GIB
from finetune.memory_history import read_corrections
from finetune.model_shape import count_trainable, read_shape
from finetune.recipe import Recipe
from finetune.run_files import append_line, read_lines

KILLED: Final = "killed"  # code of a run that the system ended by force
KILLED_EARLY: Final = "killed_early"  # before it had a checkpoint to go on from
NOT_ENOUGH_MEMORY: Final = "not_enough_memory"

# Bytes a trained parameter leaves on the disk: weight and two moments in full numbers, in three
# checkpoints (the best, the last, the one being written); the adapter, its first stage, a version.
_BYTES_IN_CHECKPOINTS: Final = 3 * 12
_BYTES_IN_ADAPTERS: Final = 3 * 4
_ROOM_TO_SPARE: Final = GIB // 2  # logs, tracking, the database's own writes


class RunError(RuntimeError):
    """A run cannot be started or resumed. `code` is stable: already_running, unknown_run,
    not_resumable, no_room. The message is a sentence that says what to do; `values` are its
    figures, for a page in another language.
    """

    def __init__(self, code: str, message: str, **values: str) -> None:
        super().__init__(message)
        self.code = code
        self.values = values


@dataclass(frozen=True)
class RunSettings:
    """What a training must know beside dataset and recipe."""

    answer_format: AnswerFormat = "recommendation"
    can_server_sleep: bool = False  # the memory plan may count on all of the card
    start_adapter: Path | None = None  # KTO and DPO start from here
    is_comparison: bool = False  # trained to be looked at; no version shall come of it


def run_dir_of(data_dir: Path, run_id: str) -> Path:
    """The folder of a run, absolute."""
    return data_dir.resolve() / "runs" / run_id


def name_of(base_model: str | BaseModel) -> str:
    """As a run records its base."""
    return base_model if isinstance(base_model, str) else base_model.name


def write_order(
    store: Store,
    dataset: Dataset,
    recipe: Recipe,
    base_model: str | BaseModel,
    settings: RunSettings,
) -> TrainingJob:
    """Make the folder of a new run, with its order. Raises RunError without room on the disk."""
    base = _prepare_base(store.data_dir, base_model)
    check_room(store.data_dir, Path(base.path), recipe)
    job = TrainingJob(
        run_id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        recipe=recipe,
        base=base,
        dataset_dir=str(locate_dataset(store, dataset).resolve()),
        answer_format=settings.answer_format,
        start_adapter=str(settings.start_adapter.resolve()) if settings.start_adapter else None,
        can_server_sleep=settings.can_server_sleep,
        memory_corrections=read_corrections(store.data_dir, name_of(base_model)),
    )
    run_dir = run_dir_of(store.data_dir, job.run_id)
    run_dir.mkdir(parents=True)
    job.write(run_dir)
    return job


def _prepare_base(data_dir: Path, base_model: str | BaseModel) -> Base:
    model = resolve(base_model) if isinstance(base_model, str) else base_model
    local = prepare(model, data_dir.resolve() / "models")
    return Base(
        name=local.name,
        path=local.path_or_hub_id,
        revision=local.revision,
        chat_template_kwargs=dict(local.chat_template_kwargs),
    )


def check_room(data_dir: Path, base_dir: Path, recipe: Recipe, held: int = 0) -> None:
    """Refuse a training whose checkpoints the disk has no room for: it would end half way. held:
    bytes of its checkpoints that are there already.
    """
    needed = _ROOM_TO_SPARE
    with contextlib.suppress(OSError, ValueError, KeyError):  # the training says what is broken
        num_trainable = count_trainable(read_shape(base_dir), recipe)
        needed += max(0, num_trainable * _BYTES_IN_CHECKPOINTS - held)
        needed += num_trainable * _BYTES_IN_ADAPTERS
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        values = {"needed": f"{needed / GIB:.1f}", "free": f"{free / GIB:.1f}"}
        raise RunError(
            "no_room",
            f"The training needs {values['needed']} GiB of disk for its checkpoints, but "
            f"{values['free']} GiB are free. Free some space on the disk of {data_dir}.",
            **values,
        )


def renew_order(store: Store, run: Run, settings: RunSettings) -> None:
    """Before a run goes on: where things lie now, and less at once where memory ran out. Raises
    RunError without room on the disk.
    """
    run_dir = run_dir_of(store.data_dir, run.run_id)
    job = read_job(run_dir)
    dataset = store.get_dataset(run.dataset_id) if run.dataset_id else None
    job = replace(
        job,
        base=job.base if Path(job.base.path).is_dir() else _find_base(store.data_dir, job, run),
        dataset_dir=str(locate_dataset(store, dataset).resolve()) if dataset else job.dataset_dir,
        start_adapter=_find_adapter(store.data_dir, job.start_adapter),
        can_server_sleep=settings.can_server_sleep,
        memory_corrections=read_corrections(store.data_dir, run.base_model),
    )
    check_room(store.data_dir, Path(job.base.path), job.recipe, _held_by_checkpoints(run_dir))
    code = (run.result.get("error") or {}).get("code")
    if code in (KILLED, NOT_ENOUGH_MEMORY):
        job = _ask_for_less(job, run, run_dir)
    job.write(run_dir)


def _held_by_checkpoints(run_dir: Path) -> int:
    """Bytes of the stage that goes on; a stage that is over leaves no room to the next."""
    folder = run_dir / CHECKPOINTS_DIR
    if (run_dir / SFT_DIR).is_dir():
        folder /= PREFERENCES_DIR
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _find_base(data_dir: Path, job: TrainingJob, run: Run) -> Base:
    """Its folder was inside a data folder that stands elsewhere now."""
    found = _prepare_base(data_dir, run.base_model)
    return replace(job.base, path=found.path)


def _find_adapter(data_dir: Path, noted: str | None) -> str | None:
    if noted is None or Path(noted).is_dir():
        return noted
    return str(data_dir.resolve() / "adapters" / Path(noted).name)


def _ask_for_less(job: TrainingJob, run: Run, run_dir: Path) -> TrainingJob:
    """Half the rows at once at the same effective batch. What its end has taught is in the
    corrections already.
    """
    rows, batch = _rows_at_once(run_dir), run.recipe.get("effective_batch_size") or 1
    fewer = next(size for size in range(max(1, rows // 2), 0, -1) if batch % size == 0)
    message = f"Memory ran out before; it goes on with {fewer} rows at once."
    line = {"kind": "reason", "message": message, "code": "after_shortage", "fewer": fewer}
    append_line(run_dir / EVENTS_FILE, line)
    return replace(job, recipe=replace(job.recipe, per_device_train_batch_size=fewer))


def _rows_at_once(run_dir: Path) -> int:
    """How many it tried last, by its own words."""
    rows = 1
    for line in read_lines(run_dir / EVENTS_FILE):
        found: Mapping[str, object] = line.get("load") or line
        value = found.get("rows_at_once")
        rows = value if isinstance(value, int) else rows
    return rows
