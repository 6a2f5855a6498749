"""docs/data.md names every flag and every repair that the code can set."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")
FLAG = re.compile(r'(?:_flag|make_flag|_refuse|Flag|NotCertain)\(\s*"([a-z_]+)"|name = "([a-z_]+)"')
FLAG_FILES = "checks repair field_cleaning answer_lines set_checks people_checks"
REPAIRS = """
    json_in_string code_fence surrounding_text wrapper numbered_lines bulleted_lines field_stuffing
    trailing_comma single_quotes smart_quotes bare_keys unescaped_quotes raw_newlines numbering
    edge_blank line_break challenge_as_text extra_key spacing sentence_outside masked_prompt
    redacted encoding edited
"""


def flag_names() -> set[str]:
    text = "".join((ROOT / f"finetune/{name}.py").read_text("utf-8") for name in FLAG_FILES.split())
    return {first or second for first, second in FLAG.findall(text)}


def test_every_flag_is_explained_on_the_page() -> None:
    assert len(flag_names()) > 30
    assert {name for name in flag_names() if not re.search(rf"\b{name}\b", PAGE)} == set()


def test_every_repair_is_explained_on_the_page() -> None:
    assert {name for name in REPAIRS.split() if f"`{name}`" not in PAGE} == set()


def test_every_flag_has_its_words_on_the_screen() -> None:
    for lang in ("ko", "en"):
        path = ROOT / "chatbot" / "ui" / "i18n" / f"{lang}.json"
        known = {key.removeprefix("flag_") for key in json.loads(path.read_text("utf-8"))}
        assert flag_names() - known == set()
