import errno
import os
import sys
from pathlib import Path

import pytest

from chatbot.ui.i18n import translate_error
from finetune.job import CHECKPOINTS_DIR, RESULT_FILE, Base, TrainingJob
from finetune.memory import GIB, Machine
from finetune.model_shape import read_shape
from finetune.recipe import Recipe
from finetune.run_files import read_json
from finetune.run_report import RunReport
from finetune.train import _choose_libraries, _fail
from finetune.training_rows import FittingRows
from finetune.training_setup import Demand, NotEnoughMemory
from tests.finetune.training_jobs import cut, write_checkpoint
from tests.tiny_models import build_model


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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_and_half_a_checkpoint_makes_room_for_the_result(
    error: Exception, tmp_path: Path
) -> None:
    checkpoints = tmp_path / CHECKPOINTS_DIR
    for step in (20, 40):
        write_checkpoint(checkpoints, step)
    cut(checkpoints / "checkpoint-40" / "optimizer.pt")
    assert _fail(RunReport(tmp_path), error) == 1
    result = read_json(tmp_path / RESULT_FILE)
    assert result is not None
    assert (result["state"], result["error"]["code"]) == ("failed", "disk_full")
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-20"]


def test_a_run_that_memory_did_not_suffice_for_tells_what_it_took(tmp_path: Path) -> None:
    memory = {"peak_mib": 900, "num_shortages": 3}
    assert _fail(RunReport(tmp_path), NotEnoughMemory("Memory ran out.", memory)) == 1
    result = read_json(tmp_path / RESULT_FILE)
    assert result is not None
    assert result["error"]["code"] == "not_enough_memory"
    assert result["memory"] == memory


def test_a_plan_that_fits_nowhere_is_told_in_figures(tmp_path: Path) -> None:
    shape = read_shape(build_model(tmp_path / "base"))
    rows = FittingRows((), (700,), (300,), 0, 700)
    job = TrainingJob("r1", Recipe(), Base("tiny", "/tiny"), "/data")
    machine = Machine("cuda", total=GIB, free=GIB // 2, server=0)
    with pytest.raises(NotEnoughMemory, match="At the least") as caught:
        Demand(job, shape, Recipe(effective_batch_size=8), rows).plan(machine)
    assert _fail(RunReport(tmp_path), caught.value) == 1
    result = read_json(tmp_path / RESULT_FILE)
    assert result is not None
    error = result["error"]
    assert (error["code"], error["values"]["free"]) == ("no_fit", "0.5")
    told = translate_error("ko", error["code"], error["message"], error["values"])
    assert f"{error['values']['needed']} GiB 필요한데 1.0 GiB 중 0.5 GiB만" in told
