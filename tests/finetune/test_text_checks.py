"""Faults of a text: each row is one that a team met, or a harmless one that must pass."""

from __future__ import annotations

import json

import pytest

from finetune import text_checks
from finetune.category_fit import CATALOG_PATH

CATALOG = [
    challenge
    for category in json.loads(CATALOG_PATH.read_text(encoding="utf-8"))["categories"]
    for challenge in category["challenges"]
]


@pytest.mark.parametrize(
    "text",
    [
        "5. 혜나! 안녕",
        "1주말인데 뭐 하지",
        "2. 빙수, 마라탕",
        "- 걷기",
        "① 걷기",
        "(1) 걷기",
        "3) 걷기",
    ],
)
def test_a_stray_number_at_the_start_is_found(text: str) -> None:
    assert text_checks.find_leading_number((text,))


@pytest.mark.parametrize(
    "text",
    [
        "3층까지 걷기",
        "1주일 동안 채식",
        "2.5도 낮추기",
        "10분 산책",
        "3가지 약속",
        "1회용 컵 안 쓰기",
    ],
)
def test_a_number_that_counts_is_no_fault(text: str) -> None:
    assert text_checks.find_leading_number((text,)) is None


@pytest.mark.parametrize(
    "text",
    [
        '오늘의 추천 "challenges": [{"title": "걷기"}]',
        "추천해요 {title: 걷기}",
        "추천해요. 1. 텀블러 쓰기 2. 걷기 3. 채식",
        "```json",
    ],
)
def test_challenges_stuffed_into_a_field_are_found(text: str) -> None:
    assert text_checks.find_stuffing((text,), ())


def test_titles_repeated_in_the_recommendation_are_stuffing() -> None:
    titles = ("텀블러 쓰기", "계단 오르기", "채식 한 끼")
    assert text_checks.find_stuffing(("텀블러 쓰기, 계단 오르기를 해요", *titles), titles)
    assert text_checks.find_stuffing(("텀블러 쓰기부터 해요", *titles), titles) is None


@pytest.mark.parametrize("text", ["걸어요\\n", '그는 \\"좋아\\"라고', "한 줄\n두 줄"])
def test_escaped_and_real_line_breaks_are_found(text: str) -> None:
    assert text_checks.find_escape((text,))


@pytest.mark.parametrize(
    "texts",
    [
        ("좋아요 좋아요 좋아요 좋아요 좋아요",),
        ("아ㅏㅏㅏㅏㅏㅏㅏㅏ",),
        ("함께 걸어 봐요. 물도 아껴요. 함께 걸어 봐요.", "함께 걸어 봐요."),
    ],
)
def test_loops_are_found(texts: tuple[str, ...]) -> None:
    assert text_checks.find_loop(texts)


@pytest.mark.parametrize("text", ["공HED 하세요", "abandon 하세요", "散歩해요", "힐ㄹ링", "깨진 �"])
def test_foreign_tokens_in_korean_are_found(text: str) -> None:
    assert text_checks.find_foreign((text,), "ko")


@pytest.mark.parametrize("text", ["LED 조명 쓰기", "QR 코드", "5km 걷기", "CO2 줄이기"])
def test_known_latin_words_are_no_fault(text: str) -> None:
    assert text_checks.find_foreign((text,), "ko") is None


def test_hangul_in_english_is_found_and_accents_are_not() -> None:
    assert text_checks.find_foreign(("Walk 걷기",), "en")
    assert text_checks.find_foreign(("Visit the café",), "en") is None


def test_korean_without_spaces_is_found() -> None:
    assert text_checks.find_missing_spaces(("힐링할수있는시는건강!",))
    assert text_checks.find_missing_spaces(("제로웨이스트챌린지를 해 보세요",)) is None
    assert text_checks.find_missing_spaces(("no Hangul",)) is None


@pytest.mark.parametrize(
    "text",
    ["900101-1234567", "010-1234-5678", "01012345678", "a.b@c.kr", "1234-5678-1234-5678"],
)
def test_personal_data_are_found(text: str) -> None:
    assert text_checks.find_personal_data((f"연락은 {text} 으로",))


@pytest.mark.parametrize(
    "text", ["https://eco.shop", "www.eco.kr", "best-eco.com 방문", "@ecolife"]
)
def test_links_are_found(text: str) -> None:
    assert text_checks.find_link((f"자세한 것은 {text} 에서",))


def test_odd_lengths_are_found() -> None:
    assert text_checks.find_odd_length("추천", ("제목",) * 3, ("걷" * 221, "걷기", "걷기"))
    assert text_checks.find_odd_length(" 아 ", (), ())
    assert text_checks.find_odd_length("추천해요", ("제목",), ("설명이에요",)) is None


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_no_challenge_of_the_catalog_is_called_faulty(lang: str) -> None:
    checks = (
        text_checks.find_leading_number,
        text_checks.find_escape,
        text_checks.find_loop,
        text_checks.find_missing_spaces,
        text_checks.find_personal_data,
        text_checks.find_link,
    )
    for challenge in CATALOG:
        texts = (challenge["title"][lang], challenge["description"][lang])
        found = [check(texts) for check in checks]
        found += [text_checks.find_foreign(texts, lang), text_checks.find_stuffing(texts, ())]
        found += [text_checks.find_odd_length(texts[1], texts[:1], texts[1:])]
        assert not any(found), (texts, found)


def test_similarity_is_one_for_the_same_and_low_for_different_challenges() -> None:
    left, right = CATALOG[0]["description"]["ko"], CATALOG[1]["description"]["ko"]
    assert text_checks.similarity(left, left) == 1.0
    assert text_checks.similarity(left, right) < 0.3
    assert text_checks.similarity("", "") == 1.0
