"""docs/failures.md names a test for every failure, and every test it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "failures.md").read_text("utf-8")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_failure_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    failures = [row for row in rows[1:] if "**" not in row]
    assert len(failures) >= 25
    assert [row for row in failures if len(NAMED.findall(row)) != 1] == []


def test_every_test_that_is_named_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in NAMED.findall(PAGE)
        if f"def {name}(" not in (ROOT / "tests" / path).read_text("utf-8")
    ]
    assert missing == []
