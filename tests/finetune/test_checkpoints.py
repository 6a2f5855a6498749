"""What a kill or a full disk leaves of a checkpoint is told from a whole one."""

import shutil
from pathlib import Path

import pytest

from finetune.checkpoints import clear_broken, find_checkpoint, is_whole
from tests.finetune.training_jobs import cut, write_checkpoint

FILES = (
    "adapter_model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
)


def test_the_newest_by_number_is_found(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "nowhere") is None
    for step in (20, 100, 80):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-none").mkdir()
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-100"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_too_early_makes_it_worthless(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 20)
    assert is_whole(folder)
    cut(folder / name)
    assert not is_whole(folder)
    (folder / name).write_bytes(b"")
    assert not is_whole(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name != "rng_state.pth"])
def test_a_file_that_is_missing_makes_it_worthless(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 20)
    (folder / name).unlink()
    assert not is_whole(folder)


def test_only_what_is_newer_than_the_newest_whole_one_is_deleted(tmp_path: Path) -> None:
    for step in (20, 40, 60, 80):
        write_checkpoint(tmp_path, step)
    cut(tmp_path / "checkpoint-20" / "optimizer.pt")
    (tmp_path / "checkpoint-60" / "trainer_state.json").unlink()
    cut(tmp_path / "checkpoint-80" / "adapter_model.safetensors")
    assert clear_broken(tmp_path) == ["checkpoint-80", "checkpoint-60"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-20", "checkpoint-40"]
    assert clear_broken(tmp_path) == []


def test_what_several_cards_wrote_in_parts_counts_as_whole(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 20)
    for name in ("adapter_model.safetensors", "optimizer.pt"):
        (folder / name).unlink()
    for name in ("pytorch_model_fsdp_0", "optimizer_0"):
        (folder / name).mkdir()
    assert is_whole(folder)
    shutil.rmtree(folder / "optimizer_0")
    assert not is_whole(folder)
