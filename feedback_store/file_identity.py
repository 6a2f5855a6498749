"""Which file a connection looks at: the one that has the path now, and the schema inside it.

Connections open by path, the readers later than the writer. Were the file exchanged in between,
readers would miss tables that the writer has just made, and nobody could tell why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feedback_store.errors import StoreError
from feedback_store.schema import read_version
from feedback_store.sqlite import Connection


@dataclass(frozen=True)
class FileIdentity:
    """The file behind a path, and the number of its schema."""

    device: int
    inode: int
    schema: int

    def __str__(self) -> str:
        return f"file {self.device}:{self.inode}, schema {self.schema}"


def identify(connection: Connection, path: Path) -> FileIdentity:
    """Of the file that has the path now, and of what the connection reads."""
    found = path.stat()
    return FileIdentity(found.st_dev, found.st_ino, read_version(connection))


def check_identity(connection: Connection, path: Path, expected: FileIdentity) -> None:
    """Raise StoreError other_file where a reader sees something else than the writer."""
    found = identify(connection, path)
    if found != expected:
        raise StoreError(
            "other_file",
            f"{path} was exchanged while it was opened: the writer has {expected}, a reader finds "
            f"{found}. Stop whatever else works in the data folder, then start again.",
        )
