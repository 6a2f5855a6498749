"""A text project through the real commands: import, training, evaluation on the engine, verdict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feedback_store.store import Store
from settings import Settings
from tests.finetune.test_text_projects import THINGS, answer_to, question
from wiring.server import _chat_settings

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "max_steps = 4\nmin_steps = 2\nnum_samples = 0\n"
JSON_FIGURES = {"valid_json", "canonical_json", "valid_with_schema", "category_fit"}


def test_a_text_project_is_not_served_under_the_schema() -> None:
    assert _chat_settings(Settings()).is_constrained
    assert not _chat_settings(Settings(answer_format="text")).is_constrained


def run_app(data_dir: Path, *words: object) -> subprocess.CompletedProcess[str]:
    flags = ("--answer-format", "text", "--engine", "transformers", "--data-dir", data_dir)
    return subprocess.run(
        [sys.executable, "app.py", *map(str, (*words, *flags))],
        cwd=ROOT,
        env=os.environ | {"ECOLOOP_MAX_TOKENS": "24"},
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )


@pytest.mark.slow
def test_a_retrain_of_a_text_project_is_judged_as_text(tmp_path: Path) -> None:
    rows, recipe, data_dir = tmp_path / "rows.jsonl", tmp_path / "tiny.toml", tmp_path / "data"
    recipe.write_text(RECIPE)
    with rows.open("w", encoding="utf-8") as file:
        for thing in THINGS:
            for number in range(3):
                asked = f"{number + 1}층 {question(thing)}"
                row = {"prompt": asked, "completion": answer_to(asked)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    imported = run_app(data_dir, "import", rows, "--accept")
    assert imported.returncode == 0, imported.stdout + imported.stderr
    trained = run_app(data_dir, "retrain", "--recipe", recipe, "--json")
    assert trained.returncode in (0, 3), trained.stdout + trained.stderr
    with Store.open(data_dir) as store:
        (adapter,) = store.list_adapters()
    assert adapter.report["answer_format"] == "text"
    assert adapter.report["answers"]
    assert not any(answer["constrained"] for answer in adapter.report["answers"])
    figures = {metric["name"] for metric in adapter.report["metrics"]}
    assert not JSON_FIGURES & figures
    assert "held_out_loss" in figures
    reasons = adapter.verdict["reasons"]
    assert "judged_as_text" in {reason["code"] for reason in reasons}
    assert not JSON_FIGURES & {str(reason["params"].get("metric")) for reason in reasons}
