"""What a check saw is told in the reader's language, or shown as a piece of the row's own text."""

import ast
import json
import random
import re
from html import unescape
from pathlib import Path

import pytest

from benchmarks.malformed import SHAPES, make_malformed
from chatbot.recommendation import canonical, from_dict
from chatbot.ui.curate_flags import describe_evidence, describe_fix
from chatbot.ui.i18n import TEXTS
from feedback_store.records import NewExample
from finetune.checks import CheckSettings, check_example
from finetune.flags import Flag

FINETUNE = Path(__file__).parents[3] / "finetune"
HANGUL = re.compile("[가-힣]")
GOOD = {
    "recommend": "도시에서는 텀블러를 쓰는 하루가 좋아요.",
    "challenges": [
        {"title": "텀블러 들기", "description": "카페에서 텀블러에 커피를 담아요."},
        {"title": "리필숍 가기", "description": "세제를 빈 병에 채워요."},
        {"title": "영수증 거절", "description": "전자 영수증을 받아요."},
    ],
}


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def with_title(title: object) -> str:
    rest = GOOD["challenges"][1:]
    first = {"title": title, "description": "카페에서 텀블러에 커피를 담아요."}
    return dump({**GOOD, "challenges": [first, *rest]})


# Each as it comes from files that people have.
FAULTY = (
    dump({**GOOD, "challenges": GOOD["challenges"][:2]}),
    dump({**GOOD, "challenges": "없음"}),
    dump({**GOOD, "challenges": 3}),
    dump({**GOOD, "challenges": [1, 2, 3]}),
    dump({**GOOD, "recommend": ""}),
    dump({**GOOD, "recommend": 7}),
    dump({**GOOD, "recommend": "가" * 301}),
    dump({**GOOD, "mood": "좋음"}),
    dump({"recommend": "좋아요.", "challenges": [{"title": "하나"}] * 3}),
    dump({"recommend": dump(GOOD), "challenges": GOOD["challenges"][:1]}),
    dump({"recommend": "{'a': ", "challenges": []}),
    dump({"question": "무엇", "label": 1}),
    json.dumps(GOOD, indent=2),
    with_title("텀블러\u200b 들기"),
    with_title("1 텀블러 들기"),
    with_title("공HED"),
    with_title("가"),
    with_title("010-1234-5678로 연락"),
    with_title("씨발놈"),
    with_title("</s> 텀블러"),
    "[1, 2]",
    "3",
    "텀블러를 쓰세요.",
    canonical(from_dict(GOOD))[:-30],
    "```{}```\n```{}```",
    "추천\n1. 가: 나: 다\n2. 라: 마\n3. 바: 사",
    "추천\n1. 가\n2. 다\n3. 마",
    "추천\n1. 가: 나\n2. 다: 라",
    "추천\n2. 가: 나\n5. 다: 라\n1. 마: 바",
    "추천\n1. 가: 나\n더\n2. 다: 라\n3. 마: 바",
    "1. 가: 나\n2. 다: 라\n3. 마: 바",
    "하나\n둘\n1. 가: 나\n2. 다: 라\n3. 마: 바",
    "x" * 30_000,
    '{"recommend":"' + '",' * 5_000,
)


def check(completion: str, answer_format: str = "recommendation") -> tuple[Flag, ...]:
    example = NewExample(
        source="import",
        messages=({"role": "user", "content": "쓰레기를\u202e 줄이고 싶어요"},),
        completion=completion,
        original_text=completion,
        conversation_id="c",
        person_id="p_1",
        location="",
        work_type="",
        lang="ko",
        category="ZERO_WASTE",
    )
    return check_example(example, CheckSettings(answer_format=answer_format))  # type: ignore[arg-type]


def squeeze(text: str) -> str:
    plain = re.sub(r"\\+[nrt\"]", "", text.casefold())
    return re.sub(r"[\s\\\"“”]+", "", plain).removesuffix("…")


def find_untold(flag: Flag, text: str) -> str:
    """What the Korean page would show in another language than that of the reader or the row."""
    shown = describe_evidence(flag.to_dict(), "ko")
    inner = unescape(shown[3:-4])
    is_told = shown.startswith("<b>") and HANGUL.search(inner)
    if is_told or squeeze(inner) in squeeze(text) or squeeze(inner) in squeeze(repr(text)):
        return ""
    return f"{flag.name}: {inner}"


@pytest.mark.parametrize("text", FAULTY, ids=lambda text: text[:40])
def test_evidence_of_a_faulty_answer_is_told_in_korean(text: str) -> None:
    flags = check(text)
    assert flags
    assert [told for flag in flags if (told := find_untold(flag, text))] == []
    fixes = {flag.name: describe_fix(flag.to_dict(), "ko") for flag in flags}
    assert [name for name, fix in fixes.items() if not HANGUL.search(fix)] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_evidence_of_every_malformed_shape_is_told_in_korean(shape: str) -> None:
    rng = random.Random(shape)
    for _ in range(20):
        text = make_malformed(shape, rng).text
        assert [told for flag in check(text) if (told := find_untold(flag, text))] == []


def test_evidence_of_plain_answers_is_told_in_korean() -> None:
    for text in ("", "가" * 5_000, "공HED 주세요", "전화는 010-1234-5678 이에요"):
        flags = check(text, "text")
        assert flags
        assert [told for flag in flags if (told := find_untold(flag, text))] == []


def test_what_was_seen_is_told_with_its_figures_in_both_languages() -> None:
    two = next(flag for flag in check(FAULTY[0]) if flag.name == "wrong_count").to_dict()
    assert describe_evidence(two, "ko") == "<b>챌린지가 2개예요. 3개여야 해요.</b>"
    assert describe_evidence(two, "en") == "<b>2 challenges; 3 are needed.</b>"
    lacking = {"name": "missing_key", "severity": "error", "evidence": "x", "fix": "y"}
    params = {"field": "challenge 2", "keys": "title, description"}
    told = describe_evidence({**lacking, "params": params}, "ko")
    assert told == "<b>챌린지 2에서 빠진 칸: 제목, 설명.</b>"


def test_a_field_of_another_type_is_told_as_a_whole_sentence() -> None:
    flags = check(with_title({"a": 1}))
    wrong = next(flag for flag in flags if flag.name == "wrong_type").to_dict()
    told = "title 1 should be text, but is an object with fields."
    assert describe_evidence(wrong, "en") == f"<b>{told}</b>"
    told = "제목 1에 있어야 할 것: 글, 들어 있는 것: 칸으로 나뉜 값."
    assert describe_evidence(wrong, "ko") == f"<b>{told}</b>"


def named_sentences(path: Path) -> set[str]:
    """The key of every sentence that is named together with its flag."""
    calls = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
    )
    return {
        f"seen_{call.args[0].value}_{keyword.value.value}"  # type: ignore[attr-defined]
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "seen" and isinstance(keyword.value, ast.Constant)
    }


def test_every_sentence_that_a_check_names_exists() -> None:
    found = {key for path in FINETUNE.glob("*.py") for key in named_sentences(path)}
    assert len(found) > 15
    assert found - set(TEXTS["ko"]) == set()


def test_every_flag_has_its_fix_on_the_screen() -> None:
    names = {key.removeprefix("flag_") for key in TEXTS["ko"] if key.startswith("flag_")}
    told = {key.removeprefix("flagfix_") for key in TEXTS["ko"]}
    assert {name for name in names - told if not name.startswith("do_")} == set()
