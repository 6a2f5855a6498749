import json
from pathlib import Path

import pyarrow.parquet
import pytest

from chatbot.recommendation import canonical
from feedback_store.records import Dataset
from feedback_store.store import Store
from finetune import export
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


def test_an_earlier_export_is_replaced_whole_or_stays(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = Path(dataset.path), tmp_path / "out" / "a"
    export_dataset(source, target, "jsonl")
    before = sorted(target.parent.rglob("*"))

    def break_off(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(export, "_write_parquet", break_off)
        with pytest.raises(OSError, match="No space"):
            export_dataset(source, target, "parquet", replaces=True)
    assert sorted(target.parent.rglob("*")) == before
    with pytest.raises(DatasetError, match="--force"):
        export_dataset(source, target, "parquet")
    export_dataset(source, target, "parquet", replaces=True)
    assert {path.suffix for path in (target / "data").iterdir()} == {".parquet"}
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["notes.txt", "data/photo.png", "README.md"])
def test_a_folder_with_other_files_is_never_replaced(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    if name != "README.md":
        export_dataset(Path(dataset.path), tmp_path / "a")
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a" / name).write_text("mine")
    if name == "README.md":
        (tmp_path / "a" / "src").mkdir()
    with pytest.raises(DatasetError, match="something else"):
        export_dataset(Path(dataset.path), tmp_path / "a", replaces=True)
    assert (tmp_path / "a" / name).read_text() == "mine"


def test_an_empty_folder_is_free(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    export_dataset(Path(dataset.path), tmp_path / "a")
    assert (tmp_path / "a" / "README.md").exists()


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
