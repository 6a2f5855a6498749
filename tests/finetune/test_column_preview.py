import json
from pathlib import Path

import pytest

from finetune.column_preview import check_columns, preview_columns
from finetune.row_mapping import ColumnMapping
from finetune.source_files import FormatError

CSV = (
    "번호,사는 곳,물음,모범 답\n"
    '1,도시,"쓰레기를 줄이려면?","텀블러를 쓰고 장바구니를 들어 봐요. 영수증도 거절해요."\n'
    '2,바닷가,"주말엔 뭐 하죠?","해변을 걸으며 쓰레기를 주워 봐요. 가볍게 시작해요."\n'
)


def test_columns_of_their_own_names_are_shown_with_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "team.csv"
    path.write_text(CSV, "utf-8")
    preview = preview_columns(path)
    assert preview
    assert preview.columns == ("번호", "사는 곳", "물음", "모범 답")
    assert preview.rows[0]["물음"] == "쓰레기를 줄이려면?"
    assert preview.guess == ColumnMapping(
        prompt=("물음",), completion="모범 답", location="사는 곳"
    )


@pytest.mark.parametrize(
    "rows",
    [
        [{"question": "가", "answer": "나"}],
        [{"instruction": "가", "output": ""}],  # says itself that the answer is missing
        [{"messages": [{"role": "user", "content": "가"}]}],
        ["no table"],
        [],
    ],
)
def test_what_is_understood_needs_no_mapping(tmp_path: Path, rows: list[object]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert preview_columns(path) is None


def test_one_column_is_taken_for_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"x": "가나다"}), "utf-8")
    preview = preview_columns(path)
    assert preview
    assert preview.guess == ColumnMapping(prompt=(), completion="x")


def test_columns_that_the_file_lacks_are_named_beside_those_it_has(tmp_path: Path) -> None:
    path = tmp_path / "team.csv"
    path.write_text("물음,모범 답\n걸을까요?,네\n")
    check_columns(path, ColumnMapping(("물음",), "모범 답"))
    with pytest.raises(FormatError) as error:
        check_columns(path, ColumnMapping(("질문", "물음"), "답", location="사는 곳"))
    assert error.value.code == "missing_columns"
    assert str(error.value) == (
        "team.csv has no column '질문', '답', '사는 곳'. Its columns are '물음', '모범 답'."
    )


def test_a_column_that_only_some_rows_have_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": 1}\n{"q": 1, "a": 2}\n"text"\n')
    check_columns(path, ColumnMapping(("q",), "a"))
