from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from feedback_store.store import Store
from finetune import run_process
from finetune.runs import cancel_run, find_running
from tests.finetune.run_bench import Bench
from tests.tiny_models import build_model

# How long an example takes on a busy machine says nothing about what it proves.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Two threads that wait for each other make so small a model ten times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random base model for the tests of a file."""
    return build_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def bench(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(store, tmp_path)
    monkeypatch.setattr(run_process, "PROJECT_DIR", made.package)
    yield made
    running = find_running(store)
    if running is not None:
        cancel_run(store, made.data_dir, running.run_id)
