"""`lineage`: from an answer back to what taught it, and from words on to what they taught."""

import json
from pathlib import Path

import pytest

import app
from feedback_store.store import Store
from tests.feedback_store import records


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Ann's answer 1 taught v0001, which gave answer 2."""
    with Store.open(tmp_path) as store:
        store.add_conversation(records.conversation("c1", "ann"))
        store.add_turn(records.turn("c1"))
        store.add_examples([records.example(turn_id=1)])
        store.add_dataset(records.dataset("d1"), [(1, "train")])
        store.add_run(records.run("r1", "d1"))
        store.add_adapter(records.adapter("v0001", run_id="r1", dataset_id="d1"))
        store.add_turn(records.turn("c1", adapter="v0001"))
    return tmp_path


def ask(data_dir: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = app.main(["lineage", *words, "--data-dir", str(data_dir)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_an_answer_is_traced_both_ways(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ask(data_dir, capsys, "answer", "2")
    assert code == 0
    behind = "behind it: versions v0001; runs r1; datasets d1; examples 1; answers 1."
    assert said.splitlines()[0] == behind
    _, said = ask(data_dir, capsys, "answer", "1", "--json")
    found = json.loads(said)
    assert found["behind_it"]["adapters"] == []
    assert (found["went_into"]["adapters"], found["went_into"]["example_ids"]) == (["v0001"], [1])


def test_a_version_and_a_person_are_traced(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "examples 1;" in ask(data_dir, capsys, "version", "v0001")[1]
    assert "versions v0001;" in ask(data_dir, capsys, "person", "ann")[1]
    assert ask(data_dir, capsys, "person", "nobody") == (0, "went into: nothing.\n")


@pytest.mark.parametrize("words", [("answer", "99"), ("answer", "x"), ("version", "v0099")])
def test_what_does_not_exist_is_said(
    data_dir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    code, said = ask(data_dir, capsys, *words)
    assert code == 1
    assert "There is no" in said
