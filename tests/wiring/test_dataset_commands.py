import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import app
from chatbot.recommendation import canonical, to_text
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune.starter_corpus import write_examples
from tests.finetune.examples import numbered_answer

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command on the data folder; its exit code and what it said."""

    def call(command: str, *words: object) -> tuple[int, str]:
        code = app.main([command, "--data-dir", str(data_dir), *map(str, words)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


@pytest.fixture
def frozen(run: Run, tmp_path: Path) -> str:
    """The id of a dataset of thirty rows."""
    write_examples(tmp_path / "rows.jsonl", 30)
    run("import", tmp_path / "rows.jsonl", "--accept")
    return str(ask(run, "dataset")["dataset_id"])


def ask(run: Run, *words: object) -> dict[str, Any]:
    code, said = run(*words, "--json")
    assert code == 0, said
    return dict(json.loads(said))


def write_csv(path: Path) -> Path:
    lines = [f'"{n}번째 질문이에요","{to_text(numbered_answer(n))}","바닷가"' for n in range(3)]
    path.write_text("\n".join(["물음,모범 답,사는 곳", *lines]), "utf-8")
    return path


def test_columns_of_any_name_are_mapped(run: Run, data_dir: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "team.csv")
    code, said = run("import", path)
    assert (code, "Say which column holds what: --columns" in said) == (1, True)
    columns = ("prompt=물음", "completion=모범 답", "location=사는 곳")
    assert ask(run, "import", path, "--columns", *columns)["num_new"] == 3
    with Store.open(data_dir) as store:
        examples = list(store.iter_examples())
    assert [example.location for example in examples] == ["beach"] * 3
    assert examples[0].completion == canonical(numbered_answer(0))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["prompt"], "names no column"),
        (["speed=x", "completion=y"], "names no column"),
        (["prompt=물음"], "column of the answer is missing"),
        (["completion=a", "completion=b"], "was given 2 columns"),
    ],
)
def test_a_mapping_that_cannot_be_is_a_sentence(
    run: Run, tmp_path: Path, columns: list[str], said: str
) -> None:
    code, text = run("import", write_csv(tmp_path / "team.csv"), "--columns", *columns)
    assert (code, said in text) == (1, True)


def test_a_mapping_to_columns_that_the_file_lacks_names_those_it_has(
    run: Run, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "team.csv")
    code, said = run("import", path, "--columns", "prompt=질문", "completion=모범 답")
    assert (code, "no column '질문'. Its columns are" in said, "'물음'" in said) == (1, True, True)


def test_what_was_rejected_first_is_told_with_its_place(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": ""}]')
    assert "a.json, line 1, element 2: The row has no answer." in run("import", path)[1]


def test_a_project_of_text_answers_takes_questions_and_answers(
    run: Run, data_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "persona.jsonl"
    rows = [{"question": f"{n}번 질문", "answer": f"저는 {n}살이에요."} for n in range(12)]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert ask(run, "import", path)["num_flagged"] == 12
    as_text = ("--answer-format", "text", "--data-dir", data_dir.with_name("persona"))
    told = ask(run, "import", path, *as_text, "--accept")
    assert (told["num_new"], told["num_flagged"]) == (12, 0)
    made = ask(run, "dataset", *as_text)
    manifest = json.loads((Path(made["path"]) / "manifest.json").read_text("utf-8"))
    assert manifest["settings"]["validation_share"] == 0.25


def test_rows_too_long_for_the_recipe_are_flagged_on_the_real_tokenizer(
    run: Run, data_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "long.jsonl"
    row = {"question": "이 글을 줄여 주세요. " * 400, "answer": canonical(numbered_answer(1))}
    path.write_text(json.dumps(row), "utf-8")
    run("import", path)
    with Store.open(data_dir) as store:
        [example] = store.iter_examples(ExampleFilter(flag="too_many_tokens"))
    assert next(f for f in example.flags if f["name"] == "too_many_tokens")["params"]["limit"] == (
        1024
    )


def test_datasets_are_listed_newest_first(run: Run, frozen: str, tmp_path: Path) -> None:
    write_examples(tmp_path / "more.jsonl", 34)
    run("import", tmp_path / "more.jsonl", "--accept")
    newer = ask(run, "dataset")["dataset_id"]
    listed = ask(run, "datasets")["datasets"]
    assert [row["dataset_id"] for row in listed] == [newer, frozen]
    assert frozen in run("datasets")[1]
    diff = ask(run, "dataset-diff", frozen[:6])
    assert (len(diff["added"]), diff["removed"], diff["changed"]) == (4, [], [])
    assert "added    4: #31, #32" in run("dataset-diff", frozen, newer)[1]


def test_an_unknown_dataset_is_a_sentence_with_the_known_ones(run: Run, frozen: str) -> None:
    code, said = run("dataset-diff", "nonsense")
    assert (code, frozen in said) == (1, True)
    code, said = run("export", "nonsense")
    assert (code, "There is no dataset 'nonsense'" in said) == (1, True)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_newest_dataset_is_exported_with_its_card(
    run: Run, frozen: str, kind: str, tmp_path: Path
) -> None:
    told = ask(run, "export", "--kind", kind, "--to", tmp_path / "out")
    assert told["dataset_id"] == frozen
    assert (tmp_path / "out" / "data" / f"train.{kind}").exists()
    assert frozen in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert Path(ask(run, "export", frozen)["folder"]).name == f"{frozen}-jsonl"


def test_an_export_replaces_an_earlier_one_only_when_told_to(
    run: Run, frozen: str, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    run("export", "--to", target)
    code, said = run("export", "--to", target)
    assert (code, "replace it with --force" in said) == (1, True)
    assert run("export", "--kind", "parquet", "--to", target, "--force")[0] == 0
    assert sorted(path.suffix for path in (target / "data").iterdir()) == [".parquet"] * 3


def test_a_dataset_beside_itself_is_a_sentence(run: Run, frozen: str) -> None:
    code, said = run("dataset-diff", frozen)
    assert (code, said) == (
        0,
        f"Both are dataset {frozen}, so nothing differs. There is no other.\n",
    )
    assert ask(run, "dataset-diff", frozen, "latest")["added"] == []
    for words in ((frozen, "oops"), ("oops",)):
        code, said = run("dataset-diff", *words)
        assert (code, "There is no dataset 'oops'. The newest are" in said) == (1, True)


def test_the_whole_set_is_checked(run: Run, frozen: str) -> None:
    told = ask(run, "check")
    assert told["num_examples"] == 30
    assert "too_few_examples" in [flag["name"] for flag in told["flags"]]
    assert sum(told["num_by_category"].values()) == 30
    assert "30 examples that are not excluded." in run("check")[1]


def test_the_tokens_of_an_example_show_what_the_loss_covers(run: Run, frozen: str) -> None:
    view = ask(run, "tokens", 1)
    learned = "".join(token["text"] for token in view["tokens"] if token["is_in_loss"])
    assert learned.startswith('{"recommend":')
    assert view["has_end"]
    assert f"in the loss ({view['num_loss']} tokens):" in run("tokens", 1)[1]
    assert run("tokens", 999)[0] == 1
