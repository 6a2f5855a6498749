"""One way to the disk, also where a folder cannot be opened."""

import os
from pathlib import Path

import pytest

from feedback_store.durable import sync


def test_files_and_folders_are_synced(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    sync(file)
    sync(tmp_path)
    assert file.read_text() == "kept"


def test_on_windows_no_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *_: object) -> int:
        raise PermissionError(f"Windows opens no folder: {path}")

    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(os, "open", refuse)
    sync(tmp_path)
