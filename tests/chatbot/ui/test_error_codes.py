"""Every error with a code that people can meet on the screen has a sentence in both languages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.ui.i18n import TEXTS

ROOT = Path(__file__).parents[3]
FOLDERS = ("chatbot", "finetune", "feedback_store")
FILES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
CODE = re.compile(r"[a-z]+(_[a-z]+)*$")

# Codes that end a command or the start of the application, before there is a screen.
NEVER_SHOWN = {
    "affected_sqlite": "checked before the store opens",
    "locked": "another process holds the data folder: the application does not start",
    "newer_schema": "checked when the store opens",
    "bad_backup": "the commands backup and restore",
    "bad_columns": "the option of the command import; the screen offers the columns",
    "broken_folder": "the base model is resolved before the page is served",
    "gated_model": "as above",
    "missing_folder": "as above",
    "no_network": "as above",
    "unknown_model": "as above",
    "converter_failed": "the command export-model",
    "differs": "as above",
    "no_converter": "as above",
    "hub_failed": "as above",
    "no_hub_login": "as above",
}
# An import tells these by the number of rows, see reject_*.
OF_ROWS = "row_mapping.py"


def name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def codes_of(path: Path) -> Iterator[str]:
    """What stands first in every XError("code", …), also where a class gives its own code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        first, name = node.args[0], name_of(node.func)
        is_text = isinstance(first, ast.Constant) and isinstance(first.value, str)
        if is_text and (name.endswith(("Error", "Refusal")) or name == "__init__"):
            code = str(first.value)  # type: ignore[attr-defined]
            if CODE.match(code):
                yield code


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_code_has_its_sentence(path: Path) -> None:
    kind = "reject" if path.name == OF_ROWS else "error"
    missing = {
        code
        for code in codes_of(path)
        if code not in NEVER_SHOWN and f"{kind}_{code}" not in TEXTS["ko"]
    }
    assert missing == set()


def test_no_code_is_excused_that_does_not_exist() -> None:
    assert set(NEVER_SHOWN) <= {code for path in FILES for code in codes_of(path)}


def recorded_actions(path: Path) -> Iterator[str]:
    """The action in every record(actor, "action", …)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or name_of(node.func) not in ("record", "_record"):
            continue
        for argument in node.args[1:2]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def test_every_action_of_the_log_has_its_words() -> None:
    files = [*FILES, *(ROOT / "wiring").rglob("*.py")]
    actions = {action for path in files for action in recorded_actions(path)}
    assert {"freeze dataset", "export dataset", "import"} <= actions
    assert {a for a in actions if f"log_do_{a.replace(' ', '_')}" not in TEXTS["ko"]} == set()


def first_texts(path: Path, name: str) -> set[str]:
    """What stands first, as a plain text, in every call of this name."""
    calls = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args and name_of(node.func) == name
    )
    first = (call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant))
    return {text for text in first if isinstance(text, str)}


@pytest.mark.parametrize(
    ("file", "call", "prefix"),
    [
        ("gate.py", "Reason", "reason_gate_"),
        ("applied.py", "Reason", "reason_gate_"),
        ("recipe.py", "Reason", "reason_knob_"),
        ("preflight.py", "_refuse", "error_"),
        ("preflight.py", "_warn", "finding_"),
        ("watch.py", "_fail", "error_"),
        ("watch.py", "StopReason", "stop_"),
    ],
)
def test_every_reason_of_the_training_and_the_gate_has_its_sentence(
    file: str, call: str, prefix: str
) -> None:
    codes = first_texts(ROOT / "finetune" / file, call)
    assert codes
    assert {code for code in codes if f"{prefix}{code}" not in TEXTS["ko"]} == set()


def test_every_reason_that_a_training_reports_has_its_sentence() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "finetune").glob("*.py")]
    pattern = re.compile(
        r"""event\("reason", [\w.]+, code="(\w+)"|"kind": "reason".*?"code": "(\w+)\""""
    )
    codes = {a or b for text in sources for a, b in pattern.findall(text)}
    assert {"padded", "after_shortage", "preferences_left_out"} <= codes
    assert {code for code in codes if f"reason_knob_{code}" not in TEXTS["ko"]} == set()
