"""Small orders for the real trainer: rows, a run folder, a recipe of six steps."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from chatbot import prompts, themes
from chatbot.base_models import prepare, resolve
from chatbot.recommendation import Challenge, Recommendation, canonical
from finetune.job import PREFERENCES_FILE, Base, TrainingJob
from finetune.recipe import Recipe
from finetune.run_report import RunReport
from finetune.train import train

SHORT = Recipe(
    r=4,
    learning_rate=5e-3,
    num_train_epochs=1,
    min_steps=6,
    max_steps=6,
    effective_batch_size=4,
    eval_steps=3,
    num_samples=2,
    tracking="off",
    quantization="none",
)


def make_answer(number: int) -> str:
    """A canonical answer that no other number has."""
    challenge = Challenge(f"챌린지 {number}", f"{number}번 계단을 오르세요.")
    return canonical(Recommendation(f"{number}번 추천이에요.", (challenge,) * 3))


def make_prompt(number: int) -> list[prompts.Message]:
    """One of the 128 base-info prompts."""
    places, works, topics = themes.LOCATIONS, themes.WORK_TYPES, themes.CATEGORIES
    info = themes.BaseInfo(
        places[number % 4].code, works[number // 4 % 4].code, topics[number // 16 % 8].code
    )
    return [prompts.system_message("en"), prompts.base_info_message(info, "en")]


def write_dataset(folder: Path, num_train: int = 12, num_validation: int = 3) -> Path:
    """train.jsonl and validation.jsonl as dataset.py freezes them."""
    folder.mkdir(parents=True)
    rows = [
        {
            "prompt": make_prompt(number),
            "completion": [{"role": "assistant", "content": make_answer(number)}],
            "example_id": number,
        }
        for number in range(num_train + num_validation)
    ]
    write_lines(folder / "train.jsonl", rows[:num_train])
    write_lines(folder / "validation.jsonl", rows[num_train:])
    return folder


def write_checkpoint(stage_dir: Path, step: int) -> Path:
    """A whole checkpoint, as far as can be seen without loading it."""
    folder = stage_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"lora_A": np.zeros((4, 8), np.float32)}, folder / "adapter_model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        with zipfile.ZipFile(folder / name, "w") as archive:  # what torch.save writes
            archive.writestr("data.pkl", b"state" * 100)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def cut(path: Path) -> None:
    """Leave the first half of a file, as a kill or a full disk does."""
    os.truncate(path, path.stat().st_size // 2)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def make_job(folder: Path, base_dir: Path, recipe: Recipe = SHORT) -> Path:
    """A run folder with its order."""
    dataset = folder / "dataset"
    if not dataset.exists():
        write_dataset(dataset)
    base = prepare(resolve(str(base_dir)), folder / "models")
    run_dir = folder / "run"
    run_dir.mkdir(exist_ok=True)
    job = TrainingJob(
        run_id="r1",
        recipe=recipe,
        base=Base(base.name, base.path_or_hub_id, None, dict(base.chat_template_kwargs)),
        dataset_dir=str(dataset),
        device="cpu",
    )
    job.write(run_dir)
    return run_dir


def write_pairs(run_dir: Path, count: int = 10) -> None:
    """Preferences for DPO, two of them held out."""
    rows = [
        {
            "prompt": make_prompt(number),
            "chosen": [{"role": "assistant", "content": make_answer(number)}],
            "rejected": [{"role": "assistant", "content": make_answer(number + 100)}],
            "split": "validation" if number < 2 else "train",
        }
        for number in range(count)
    ]
    write_lines(run_dir / PREFERENCES_FILE, rows)


def write_thumbs(run_dir: Path, count: int = 12) -> None:
    """Labels for KTO, four of them held out."""
    rows = [
        {
            "prompt": make_prompt(number),
            "completion": [{"role": "assistant", "content": make_answer(number)}],
            "label": number % 2 == 0,
            "split": "validation" if number < 4 else "train",
        }
        for number in range(count)
    ]
    write_lines(run_dir / PREFERENCES_FILE, rows)


def run(run_dir: Path) -> dict[str, Any]:
    """Train here, in this process."""
    return train(run_dir, RunReport(run_dir))
