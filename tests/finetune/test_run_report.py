from pathlib import Path

import pytest

from finetune.job import ALIVE_FILE
from finetune.run_report import RunReport


def test_a_mark_is_a_sign_of_life_at_most_once_a_second(tmp_path: Path) -> None:
    report = RunReport(tmp_path)
    report.alive()
    assert (tmp_path / ALIVE_FILE).exists()
    (tmp_path / ALIVE_FILE).unlink()
    report.alive()
    assert not (tmp_path / ALIVE_FILE).exists()


def test_only_the_first_of_several_processes_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    RunReport(tmp_path).alive()
    assert not (tmp_path / ALIVE_FILE).exists()


def test_a_folder_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    RunReport(tmp_path / "gone").alive()
