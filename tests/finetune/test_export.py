import json
import os
import shutil
import subprocess
import sys
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
        with pytest.raises(DatasetError, match="could not be written: No space"):
            export_dataset(source, target, "parquet", replaces=True)
    assert sorted(target.parent.rglob("*")) == before
    with pytest.raises(DatasetError, match="--force"):
        export_dataset(source, target, "parquet")
    export_dataset(source, target, "parquet", replaces=True)
    assert {path.suffix for path in (target / "data").iterdir()} == {".parquet"}
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["notes.txt", "data/photo.png"])
def test_a_folder_with_other_files_is_never_replaced(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    export_dataset(Path(dataset.path), tmp_path / "a")
    (tmp_path / "a" / name).write_text("mine")
    with pytest.raises(DatasetError, match="something else"):
        export_dataset(Path(dataset.path), tmp_path / "a", replaces=True)
    assert (tmp_path / "a" / name).read_text() == "mine"


CARD_OF_OURS = f"# Dataset {'0a' * 8}\n"


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": "mine"},
        {"README.md": CARD_OF_OURS},
        {"README.md": "mine", "data/train.parquet": "mine"},
        {"README.md": "# Dataset of birds\n", "data/train.jsonl": "mine"},
        {"README.md": CARD_OF_OURS, "src/main.py": "mine"},
        {"data/train.jsonl": "mine"},
    ],
)
def test_what_only_looks_like_an_export_is_never_replaced(
    dataset: Dataset, tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        path = tmp_path / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = sorted((tmp_path / "a").rglob("*"))
    with pytest.raises(DatasetError, match="something else"):
        export_dataset(Path(dataset.path), tmp_path / "a", replaces=True)
    assert sorted((tmp_path / "a").rglob("*")) == before
    assert {name: (tmp_path / "a" / name).read_text() for name in files} == files


def test_a_folder_that_is_there_is_filled_and_stays_itself(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be where somebody works, a disk of its own, or what a link leads to."""
    source, there = Path(dataset.path), tmp_path / "there"
    there.mkdir()
    number = there.stat().st_ino
    monkeypatch.chdir(there)
    export_dataset(source, Path())
    assert sorted(path.name for path in there.iterdir()) == ["README.md", "data"]
    (tmp_path / "link").symlink_to(there)
    assert export_dataset(source, tmp_path / "link", "parquet", replaces=True) == there
    assert {path.suffix for path in (there / "data").iterdir()} == {".parquet"}
    assert sorted(path.name for path in there.iterdir()) == ["README.md", "data"]
    assert (tmp_path / "link").is_symlink()
    assert there.stat().st_ino == number


def test_an_export_that_cannot_be_moved_in_leaves_the_earlier_one(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = Path(dataset.path), tmp_path / "a"
    export_dataset(source, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    rename = Path.rename

    def refuse_new_card(path: Path, place: Path) -> Path:
        if path.parent.name == "new" and path.name == "README.md":
            raise OSError("Input/output error")
        return rename(path, place)

    monkeypatch.setattr(Path, "rename", refuse_new_card)
    with pytest.raises(DatasetError, match="could not be written: Input/output error"):
        export_dataset(source, target, "parquet", replaces=True)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def _export_until(num_moves: int, source: Path, target: Path) -> None:
    """In a process of its own, which is killed before that move."""
    code = f"""
import os
from pathlib import Path
from finetune.export import export_dataset
rename, moves = Path.rename, []
def move(path, place):
    moves.append(place)
    if len(moves) == {num_moves}:
        os.kill(os.getpid(), 9)
    return rename(path, place)
Path.rename = move
export_dataset(Path({str(source)!r}), Path({str(target)!r}), "parquet", replaces=True)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


@pytest.mark.parametrize("num_moves", [1, 2, 3, 4])
def test_a_killed_export_is_undone_by_the_next(
    dataset: Dataset, tmp_path: Path, num_moves: int
) -> None:
    source, target = Path(dataset.path), tmp_path / "a"
    export_dataset(source, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    _export_until(num_moves, source, target)
    with pytest.raises(DatasetError, match="holds an export already"):
        export_dataset(source, target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "data"]


@pytest.mark.parametrize("num_moves", [1, 2])
def test_a_killed_export_into_an_empty_folder_leaves_it_empty(
    dataset: Dataset, tmp_path: Path, num_moves: int
) -> None:
    (tmp_path / "a").mkdir()
    _export_until(num_moves, Path(dataset.path), tmp_path / "a")
    (tmp_path / "a" / ".export-notes").mkdir()  # somebody else's
    with pytest.raises(DatasetError, match="something else"):
        export_dataset(Path(dataset.path), tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == [".export-notes"]


def test_what_somebody_put_where_an_export_was_killed_is_left(
    dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "a"
    export_dataset(Path(dataset.path), target)
    _export_until(4, Path(dataset.path), target)
    (target / "data" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="something else"):
        export_dataset(Path(dataset.path), target, replaces=True)
    assert (target / "data" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("num_moves", [1, 2, 3])
def test_an_undoing_that_was_killed_goes_on(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_moves: int
) -> None:
    source, target = Path(dataset.path), tmp_path / "a"
    export_dataset(source, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    _export_until(4, source, target)
    move, remove, steps = Path.rename, shutil.rmtree, list(range(num_moves))

    def move_some(path: Path, place: Path) -> Path:
        steps.pop()  # raises where the process is killed
        return move(path, place)

    def remove_some(folder: Path) -> None:
        steps.pop()
        remove(folder)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", move_some)
        patch.setattr("shutil.rmtree", remove_some)
        with pytest.raises(IndexError):
            export_dataset(source, target)
    if num_moves == 3:  # all is in its place, and what is left is deleted by halves
        remove(*target.glob(".export-*/new/data"))
    with pytest.raises(DatasetError, match="holds an export already"):
        export_dataset(source, target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_a_killed_export_is_undone_although_its_number_is_in_use_again(
    dataset: Dataset, tmp_path: Path
) -> None:
    """In a container each process has the same one; one that is at work is not disturbed."""
    killed, at_work = (
        tmp_path / "a" / f".export-{os.getpid()}-{name * 4}" for name in ("ab", "cd")
    )
    for folder in (killed, at_work):
        (folder / "new").mkdir(parents=True)
    os.utime(killed, (0, 0))
    with pytest.raises(DatasetError, match="something else"):
        export_dataset(Path(dataset.path), tmp_path / "a")
    assert not killed.exists()
    assert at_work.exists()


def test_a_killed_export_of_a_new_folder_is_cleared_away(dataset: Dataset, tmp_path: Path) -> None:
    _export_until(1, Path(dataset.path), tmp_path / "out" / "a")
    assert [path.name[:8] for path in (tmp_path / "out").iterdir()] == [".export-"]
    export_dataset(Path(dataset.path), tmp_path / "out" / "b")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_a_place_that_takes_no_folder_is_a_sentence(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DatasetError, match="could not be written"):
        export_dataset(Path(dataset.path), tmp_path / "file" / "out")


def test_the_new_name_is_on_disk_when_it_is_told(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[tuple[Path, bool]] = []
    out = tmp_path / "a"
    monkeypatch.setattr(export, "sync", lambda path: names.append((path, out.exists())))
    export_dataset(Path(dataset.path), out)
    assert names[-1] == (tmp_path, True)


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
