import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.prompts import system_message
from chatbot.recommendation import canonical, to_text
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune import formats
from finetune.checks import CheckSettings
from finetune.curate import fix_example
from finetune.formats import ImportProgress, ImportSettings, import_path
from finetune.import_rows import RowSettings
from finetune.source_files import FormatError
from tests.finetune.examples import ANSWER, BETTER, numbered_answer

HERE = ImportSettings(num_workers=0)
ROWS_ONLY = ImportSettings(num_workers=0, check_set=False)
TEXTS = ImportSettings(RowSettings(checks=CheckSettings(answer_format="text")), num_workers=0)


def write_jsonl(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def alpaca(number: int, output: str | None = None) -> dict[str, str]:
    answer = canonical(numbered_answer(number)) if output is None else output
    return {"instruction": f"{number}층 사무실에서 뭘 할까요?", "input": "", "output": answer}


def test_a_clean_row_becomes_a_pending_example_as_it_would_be_asked(
    store: Store, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "team.jsonl", [alpaca(1)])
    result = import_path(store, path, HERE)
    assert (result.num_rows, result.num_new, result.num_flagged) == (1, 1, 0)
    assert (result.kinds, result.rejects_path) == ({"alpaca": 1}, None)
    example = store.find_examples().items[0]
    assert example.messages == (
        dict(system_message("ko")),
        {"role": "user", "content": "1층 사무실에서 뭘 할까요?"},
    )
    assert example.completion == canonical(numbered_answer(1))
    assert (example.state, example.person_id) == ("pending", "import:team.jsonl")


def test_importing_the_same_file_twice_adds_nothing(store: Store, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "team.jsonl", [alpaca(n) for n in range(5)])
    assert import_path(store, path, HERE).num_new == 5
    fix_example(store, 2, canonical(BETTER), curator="kim")
    again = import_path(store, path, HERE)
    assert (again.num_rows, again.num_new, again.num_known) == (5, 0, 5)
    assert store.count_examples(ExampleFilter(purpose=None)) == 5


def test_mixed_formats_come_in_as_one(store: Store, tmp_path: Path) -> None:
    answer = canonical(ANSWER)
    shapes = [
        answer,
        json.dumps(answer),
        json.dumps({"text": answer}),
        to_text(ANSWER),
        f"```json\n{answer}\n```",
        json.dumps({"recommend": answer, "challenges": []}),
    ]
    rows = [alpaca(number, shape) for number, shape in enumerate(shapes)]
    result = import_path(store, write_jsonl(tmp_path / "a.jsonl", rows), ROWS_ONLY)
    assert (result.num_new, result.num_repaired, result.num_flagged) == (6, 5, 0)
    assert {example.completion for example in store.iter_examples()} == {answer}
    originals = [example.original_text for example in store.iter_examples()]
    assert originals == shapes


def test_what_is_not_certain_comes_in_flagged(store: Store, tmp_path: Path) -> None:
    row = alpaca(1, "텀블러를 쓰면 좋겠어요.")
    assert import_path(store, write_jsonl(tmp_path / "a.jsonl", [row]), HERE).num_flagged == 1
    example = store.find_examples(ExampleFilter(flag="not_an_answer")).items[0]
    assert example.completion == "텀블러를 쓰면 좋겠어요."


def test_near_duplicates_are_flagged_and_the_set_is_described(store: Store, tmp_path: Path) -> None:
    rows = [alpaca(1), alpaca(2, canonical(numbered_answer(1)).replace("봐요", "봐요!"))]
    result = import_path(store, write_jsonl(tmp_path / "a.jsonl", rows), HERE)
    assert "too_few_examples" in [flag.name for flag in result.set_flags]
    assert result.num_similar == 1
    [example] = store.find_examples(ExampleFilter(flag="near_duplicate")).items
    assert example.flags[0]["params"] == {"other": 1}


def test_a_text_task_needs_no_recommendation(store: Store, tmp_path: Path) -> None:
    row = {"instruction": "너 짜증나니?", "output": " 아니, 나는 네가 좋아. "}
    result = import_path(store, write_jsonl(tmp_path / "persona.jsonl", [row]), TEXTS)
    assert (result.num_new, result.num_flagged) == (1, 0)
    example = store.find_examples().items[0]
    assert example.completion == "아니, 나는 네가 좋아."
    assert [message["role"] for message in example.messages] == ["user"]


def test_rejected_rows_are_kept_with_line_and_reason(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps(alpaca(1)), "{oops", json.dumps({"a": 1}), json.dumps(alpaca(2, " "))]
    path.write_text("\n".join(lines))
    result = import_path(store, path, HERE)
    assert (result.num_rows, result.num_new, result.num_rejected) == (4, 1, 3)
    assert result.reasons == {"unreadable": 1, "unknown_columns": 1, "empty_answer": 1}
    assert result.rejects_path is not None
    rejects = [json.loads(line) for line in result.rejects_path.read_text("utf-8").splitlines()]
    assert [(reject["line"], reject["code"]) for reject in rejects] == [
        (2, "unreadable"),
        (3, "unknown_columns"),
        (4, "empty_answer"),
    ]


def test_a_rejected_element_of_an_array_on_one_line_is_found_by_its_number(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([alpaca(1), alpaca(2), alpaca(3, " ")]))
    result = import_path(store, path, HERE)
    assert result.rejects_path is not None
    reject = json.loads(result.rejects_path.read_text("utf-8"))
    assert (reject["line"], reject["place"]) == (1, "element 3")
    assert result.first_rejects == ("a.json, line 1, element 3: The row has no answer.",)
    assert result.first_lines == {"empty_answer": (1,)}


def test_the_counts_of_a_table_with_blank_rows_add_up(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\n걸을까요?,네\n,\n\n뛸까요?,아니요\n\n")
    result = import_path(store, path, TEXTS)
    assert (result.num_rows, result.num_new, result.reasons) == (4, 2, {"blank_row": 2})


def test_a_row_that_the_store_refuses_is_rejected_alone(store: Store, tmp_path: Path) -> None:
    rows = [alpaca(1), alpaca(2, "긴 글 " * 20_000), alpaca(3)]
    result = import_path(store, write_jsonl(tmp_path / "a.jsonl", rows), TEXTS)
    assert (result.num_rows, result.num_new, result.reasons) == (3, 2, {"refused_text": 1})


def test_a_folder_is_imported_file_by_file(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", [alpaca(1)])
    write_jsonl(folder / "b.json", [alpaca(2)])
    (folder / "c.parquet").write_text("broken")
    result = import_path(store, folder, HERE)
    assert (result.num_rows, result.num_new, result.reasons) == (3, 2, {"unreadable": 1})


def test_misdecoded_text_is_undone_and_recorded(store: Store, tmp_path: Path) -> None:
    row = alpaca(1)
    garbled = {key: text.encode().decode("latin-1") for key, text in row.items()}
    import_path(store, write_jsonl(tmp_path / "a.jsonl", [garbled]), HERE)
    example = store.find_examples().items[0]
    assert example.completion == canonical(numbered_answer(1))
    assert (example.messages[-1]["content"], example.repairs) == (row["instruction"], ("encoding",))


def test_progress_is_told(store: Store, tmp_path: Path) -> None:
    told: list[ImportProgress] = []
    path = write_jsonl(tmp_path / "a.jsonl", [alpaca(n) for n in range(600)])
    import_path(store, path, HERE, on_progress=told.append)
    assert [(p.num_rows, p.is_comparing) for p in told] == [
        (500, False),
        (600, False),
        (600, True),
    ]


def test_workers_make_the_same_examples_in_the_same_order(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_MIN_ROWS_FOR_WORKERS", 500)
    path = write_jsonl(tmp_path / "a.jsonl", [alpaca(number) for number in range(1_200)])
    result = import_path(store, path, ImportSettings(num_workers=1, check_set=False))
    assert (result.num_rows, result.num_new) == (1_200, 1_200)
    completions = [example.completion for example in store.iter_examples()]
    assert completions == [canonical(numbered_answer(number)) for number in range(1_200)]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_named(store: Store, tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(FormatError, match=r"a\.jsonl has no rows"):
        import_path(store, path, HERE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
any_rows = st.one_of(
    json_values.map(json.dumps),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])),
    st.builds(lambda p, c: json.dumps({"prompt": p, "completion": c}), json_values, json_values),
    st.builds(lambda m: json.dumps({"messages": m}), json_values),
    st.integers(0, 9).map(lambda number: json.dumps(alpaca(number))),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(any_rows, min_size=1, max_size=12))
def test_every_row_is_accounted_for(store: Store, tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "any.jsonl"
    path.write_text("\n".join(lines), "utf-8", newline="\n")
    num_rows = sum(bool(line.strip()) for line in lines)
    if num_rows == 0:
        return
    before = store.count_examples(ExampleFilter(purpose=None))
    result = import_path(store, path, ROWS_ONLY)
    assert result.num_rows == num_rows
    assert result.num_rows == result.num_new + result.num_known + result.num_rejected
    assert store.count_examples(ExampleFilter(purpose=None)) == before + result.num_new
    kept = result.rejects_path.read_text("utf-8").count("\n") if result.rejects_path else 0
    assert kept == result.num_rejected
