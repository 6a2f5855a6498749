import json
from pathlib import Path

import pyarrow.parquet
import pytest

from chatbot.recommendation import canonical
from feedback_store.records import Dataset
from feedback_store.store import Store
from finetune.dataset import SPLITS, DatasetError, freeze_dataset
from finetune.export import ExportKind, export_dataset
from finetune.source_files import iter_rows
from tests.finetune.examples import make_example, numbered_answer


@pytest.fixture
def dataset(store: Store) -> Dataset:
    rows = [
        make_example(completion=canonical(numbered_answer(n)), conversation_id=f"group-{n}")
        for n in range(30)
    ]
    ids = [example_id for example_id in store.add_examples(rows) if example_id]
    store.decide_examples(ids, state="accepted", decided_by="kim")
    return freeze_dataset(store, store.data_dir)


def test_jsonl_and_parquet_hold_the_same_rows(dataset: Dataset, tmp_path: Path) -> None:
    lines = export_dataset(Path(dataset.path), tmp_path / "a", "jsonl")
    table = export_dataset(Path(dataset.path), tmp_path / "b", "parquet")
    for split in ("train", "validation"):
        text = (lines / f"data/{split}.jsonl").read_text("utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        assert pyarrow.parquet.read_table(table / f"data/{split}.parquet").to_pylist() == rows
        assert rows


def test_what_is_exported_can_be_imported_again(dataset: Dataset, tmp_path: Path) -> None:
    out = export_dataset(Path(dataset.path), tmp_path / "a", "parquet")
    rows = list(iter_rows(out / "data" / "train.parquet"))
    assert len(rows) == dataset.num_train
    assert rows[0].value["completion"][0]["role"] == "assistant"


def test_the_card_says_what_the_dataset_is(dataset: Dataset, tmp_path: Path) -> None:
    out = export_dataset(Path(dataset.path), tmp_path / "a", "jsonl")
    card = (out / "README.md").read_text("utf-8")
    assert card.startswith("---\nlanguage:\n- ko\n")
    assert "path: data/validation.jsonl" in card
    assert f"# Dataset {dataset.dataset_id}" in card
    counts = (dataset.num_train, *(dataset.manifest[f"num_{s}"] for s in ("validation", "test")))
    assert "{:,} training, {:,} validation and {:,} test rows".format(*counts) in card
    assert "| ZERO_WASTE | 30 |" in card
    assert dataset.manifest["files"]["train.jsonl"]["sha256"] in card


def test_a_damaged_dataset_is_not_exported(dataset: Dataset, tmp_path: Path) -> None:
    (Path(dataset.path) / "train.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError, match=r"train\.jsonl"):
        export_dataset(Path(dataset.path), tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.filterwarnings("ignore")
def test_the_datasets_library_reads_the_folder(
    dataset: Dataset, tmp_path: Path, kind: ExportKind
) -> None:
    from datasets import load_dataset

    out = export_dataset(Path(dataset.path), tmp_path / kind, kind)
    loaded = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split].num_rows for split in loaded} == {
        split: dataset.manifest[f"num_{split}"]
        for split in SPLITS
        if dataset.manifest[f"num_{split}"]
    }
    assert loaded["train"][0]["completion"][0]["role"] == "assistant"
