import re
from pathlib import Path
from string import Formatter

import pytest

from chatbot.ui import i18n
from chatbot.ui.i18n import TEXTS, pick_lang, t, translate_error

UI_DIR = Path(i18n.__file__).parents[1]
LITERAL_KEY = re.compile(r"""\b(?:t\(\s*[\w.]*lang,\s*|label\()["']([a-z0-9_]+)["']""")


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys() -> None:
    assert set(TEXTS["ko"]) == set(TEXTS["en"])


def test_both_languages_fill_in_the_same_values() -> None:
    different = [
        key
        for key in TEXTS["ko"]
        if not key.startswith("reason_gate_")
        and fields_of(TEXTS["ko"][key]) != fields_of(TEXTS["en"][key])
    ]
    assert different == []


def test_no_text_is_empty() -> None:
    assert [key for texts in TEXTS.values() for key, text in texts.items() if not text] == []


@pytest.mark.parametrize("path", sorted(UI_DIR.glob("*.py")), ids=lambda path: path.name)
def test_every_named_text_exists(path: Path) -> None:
    named = set(LITERAL_KEY.findall(path.read_text(encoding="utf-8")))
    options = {"location", "work_type", "category"}
    assert named - options - set(TEXTS["ko"]) == set()


def test_values_are_filled_in() -> None:
    assert t("en", "num_examples", num=12) == "12 examples"


def test_an_error_without_translation_keeps_its_sentence() -> None:
    assert translate_error("ko", "never_heard_of", "It broke.") == "It broke."
    assert translate_error("en", "empty_message", "x") == "Please write a message."


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_an_error_with_figures_has_them_in_both_languages(lang: str) -> None:
    said = translate_error(lang, "no_room", "x", {"needed": "3.2", "free": "0.4"})
    assert "3.2 GiB" in said
    assert "0.4 GiB" in said


@pytest.mark.parametrize(
    ("cookie", "header", "expected"),
    [
        ("en", "ko-KR", "en"),
        ("fr", "ko-KR", "ko"),
        (None, "fr-FR,en;q=0.8,ko;q=0.5", "en"),
        (None, "fr", "ko"),
        (None, "", "ko"),
    ],
)
def test_language_is_the_cookie_then_the_browser_then_the_default(
    cookie: str | None, header: str, expected: str
) -> None:
    assert pick_lang(cookie, header, "ko") == expected
