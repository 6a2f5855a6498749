from dataclasses import replace
from io import BytesIO
from typing import Any, cast
from zipfile import ZipFile

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from chatbot.recommendation import canonical
from chatbot.ui.dataset_download import DOWNLOAD_PATH, serve_dataset
from chatbot.ui.parts import Parts
from feedback_store.store import Store
from finetune.dataset import freeze_dataset
from tests.finetune.examples import make_example, numbered_answer


@pytest.fixture
def parts(store: Store) -> Parts:
    nothing = cast("Any", None)
    return Parts(nothing, store, nothing, nothing, identify=lambda _: ("p_1", "admin"))


def ask(parts: Parts, dataset_id: str, kind: str = "jsonl") -> Any:
    app = FastAPI()
    app.add_api_route(DOWNLOAD_PATH, serve_dataset(parts))
    return TestClient(app).get(DOWNLOAD_PATH.format(dataset_id=dataset_id, kind=kind))


@pytest.fixture
def dataset_id(store: Store) -> str:
    rows = [make_example(completion=canonical(numbered_answer(n))) for n in range(5)]
    store.add_examples(rows)
    store.decide_examples(range(1, 6), state="accepted", decided_by="kim")
    return freeze_dataset(store, store.data_dir).dataset_id


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_dataset_comes_as_one_file_with_its_card(
    parts: Parts, dataset_id: str, kind: str
) -> None:
    answer = ask(parts, dataset_id, kind)
    assert answer.headers["content-disposition"].endswith(f'dataset-{dataset_id}-{kind}.zip"')
    names = ZipFile(BytesIO(answer.content)).namelist()
    assert f"dataset-{dataset_id}-{kind}/data/train.{kind}" in names
    assert f"dataset-{dataset_id}-{kind}/README.md" in names


@pytest.mark.parametrize("role", [None, "curator"])
def test_nobody_but_an_admin_gets_it(parts: Parts, dataset_id: str, role: Any) -> None:
    stranger = replace(parts, identify=lambda _: ("p_2", role))
    assert ask(stranger, dataset_id).status_code == 403


@pytest.mark.parametrize(
    ("name", "kind"), [("nonsense", "jsonl"), ("%2e%2e", "jsonl"), ("", "csv")]
)
def test_what_is_not_there_is_a_sentence(
    parts: Parts, dataset_id: str, name: str, kind: str
) -> None:
    answer = ask(parts, name or dataset_id, kind)
    assert answer.status_code == 404
    assert len(answer.json()["message"]) > 20


def test_a_damaged_dataset_is_told_as_our_fault(
    parts: Parts, dataset_id: str, store: Store
) -> None:
    (store.data_dir / "datasets" / dataset_id / "train.jsonl").write_text("damaged\n")
    answer = ask(parts, dataset_id)
    assert answer.status_code == 500
    assert "train.jsonl" in answer.json()["message"]


def test_a_full_disk_is_a_sentence(
    parts: Parts, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("shutil.make_archive", break_off)
    answer = ask(parts, dataset_id)
    assert answer.status_code == 500
    assert "No space left on device. Is the disk full?" in answer.json()["message"]
