from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from feedback_store.store import Store

# How long an example takes on a busy machine says nothing about what it proves.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened
