"""Every event function says which role it needs, and a function of the studio asks for it."""

import ast
from pathlib import Path

import pytest

UI = Path(__file__).parents[3] / "chatbot" / "ui"
ROLES = {"chatter", "curator", "admin"}


def event_functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [n for n in ast.walk(tree) if isinstance(n, kinds) and n.name.startswith("on_")]


def role_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "needs":
            return str(ast.literal_eval(decorator.args[0]))
    return ""


@pytest.mark.parametrize("path", sorted(UI.glob("*.py")), ids=lambda path: path.name)
def test_every_event_function_declares_its_role(path: Path) -> None:
    undeclared = [f.name for f in event_functions(path) if role_of(f) not in ROLES]
    assert undeclared == [], "decorate it with @needs(...) of chatbot.ui.people"


def test_there_are_functions_of_every_role() -> None:
    declared = {role_of(f) for path in UI.glob("*.py") for f in event_functions(path)}
    assert declared == ROLES
