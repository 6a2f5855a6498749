import os
import sys
from pathlib import Path

import pytest

from finetune.job import Base, TrainingJob
from finetune.recipe import Recipe
from finetune.train import _choose_libraries


def test_without_tracking_what_a_shell_says_of_wandb_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would ask the trainer for a library that was just locked out."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setitem(sys.modules, "wandb", sys.modules.get("wandb"))
    monkeypatch.setitem(sys.modules, "bitsandbytes", sys.modules.get("bitsandbytes"))
    job = TrainingJob("r1", Recipe(tracking="off"), Base("tiny", "/tiny"), "/data")
    _choose_libraries(job, tmp_path)
    assert "WANDB_MODE" not in os.environ
