import csv
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from finetune import source_files
from finetune.source_files import FormatError, iter_rows, list_files

ROWS = [
    {"instruction": "질문 하나", "input": "", "output": '여러 줄\n"답"'},
    {"instruction": "둘, 쉼표", "input": "더", "output": "답 둘"},
    {"instruction": "셋", "input": "", "output": "답 셋\u2028 줄"},
]


def write_csv(path: Path, rows: list[dict[str, str]], **options: str) -> None:
    with path.open("w", encoding=options.pop("encoding", "utf-8"), newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)  # type: ignore[arg-type]
        writer.writeheader()
        writer.writerows(rows)


def write_xlsx(path: Path, rows: list[dict[str, str]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(path)


WRITERS = {
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "pretty.json": lambda path: path.write_text(json.dumps(ROWS, ensure_ascii=False, indent=2)),
    "wrapped.json": lambda path: path.write_text(json.dumps({"data": ROWS}, ensure_ascii=False)),
    "lines.json": lambda path: path.write_text("\n".join(map(json.dumps, ROWS))),
    "a.jsonl": lambda path: path.write_text("\n\n".join(map(json.dumps, ROWS)) + "\n"),
    "dos.jsonl": lambda path: path.write_bytes("\r\n".join(map(json.dumps, ROWS)).encode()),
    "a.csv": lambda path: write_csv(path, ROWS),
    "korean.csv": lambda path: write_csv(path, ROWS[:2], encoding="cp949"),
    "bom.csv": lambda path: write_csv(path, ROWS, encoding="utf-8-sig"),
    "semicolon.csv": lambda path: write_csv(path, ROWS, delimiter=";"),
    "a.tsv": lambda path: write_csv(path, ROWS, delimiter="\t"),
    "a.xlsx": lambda path: write_xlsx(path, ROWS),
    "a.parquet": lambda path: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_its_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    rows = list(iter_rows(path))
    assert [row.reason for row in rows] == [""] * len(rows)
    assert [row.value for row in rows] == ROWS[: len(rows)]
    assert len(rows) == (2 if name == "korean.csv" else 3)


def test_a_broken_line_is_one_reason_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": \n\n{"a": 3}\n')
    rows = list(iter_rows(path))
    assert [(row.line, row.value, bool(row.reason)) for row in rows] == [
        (1, {"a": 1}, False),
        (2, None, True),
        (4, {"a": 3}, False),
    ]


def test_a_line_without_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "MAX_ROW_CHARS", 100)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"a": "x" * 1000}) + "\n" + json.dumps({"a": 1}) + "\n")
    rows = list(iter_rows(path))
    assert [(row.line, row.value) for row in rows] == [(1, None), (2, {"a": 1})]


def test_a_row_with_other_columns_than_the_header_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\na,b\nonly one\n\nc,d,e\n")
    rows = list(iter_rows(path))
    assert [(row.line, row.value) for row in rows] == [
        (2, {"prompt": "a", "completion": "b"}),
        (3, None),
        (4, None),
        (5, None),
    ]
    assert (rows[2].code, "3 columns" in rows[3].reason) == ("blank_row", True)


def test_lines_of_two_encodings_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"a": "유니코드"}'.encode(), '{"a": "완성형"}'.encode("cp949"), b'{"a": "\xff\xff"}']
    path.write_bytes(b"\n".join(lines))
    rows = list(iter_rows(path))
    assert [row.value for row in rows] == [{"a": "유니코드"}, {"a": "완성형"}, None]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.pdf", b"x", "unknown_format"),
        ("a.parquet", b"no parquet", "unreadable"),
        ("a.xlsx", b"no sheet", "unreadable"),
        ("a.csv", b"", "no_header"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=path.stem) as error:
        list(iter_rows(list_files(path)[0]))
    assert error.value.code == code


def test_a_folder_gives_its_readable_files(tmp_path: Path) -> None:
    for name in ("b/two.jsonl", "one.csv", ".hidden/three.jsonl", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert [path.name for path in list_files(tmp_path)] == ["two.jsonl", "one.csv"]
    with pytest.raises(FormatError, match="no file or folder"):
        list_files(tmp_path / "missing")


def test_blank_rows_count_between_others_and_not_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\na,b\n\n,\n"c\nc",d\n , \n\n')
    assert [(row.line, row.code if row.reason else "") for row in iter_rows(path)] == [
        (2, ""),
        (3, "blank_row"),
        (4, "blank_row"),
        (5, ""),
    ]


def test_the_sheet_is_named_where_there_are_several(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for sheet in (book.active, book.create_sheet("봄")):
        for cells in (["prompt"], ["a"], [None], ["b"], ["  "]):
            sheet.append(cells)
    book.active.title = "겨울"
    book.save(tmp_path / "a.xlsx")
    rows = list(iter_rows(tmp_path / "a.xlsx"))
    lines = [(2, ""), (3, "blank_row"), (4, "")]
    assert [(row.line, row.code if row.reason else "") for row in rows] == lines * 2
    assert [row.place for row in rows] == ["sheet 겨울"] * 3 + ["sheet 봄"] * 3


def test_a_key_that_comes_twice_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "twice.jsonl"
    path.write_text('{"question": "a", "answer": "b", "answer": "c"}\n{"question": "d"}\n')
    first, second = iter_rows(path)
    assert "the key 'answer' comes twice" in first.reason
    assert second.value == {"question": "d"}
