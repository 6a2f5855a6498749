"""Personal data: found however it is written, and nothing else taken for it."""

import sys
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.personal_data import _SIGNS, _plain, find_personal_data, redact

FOUND: Final = [
    ("주민번호 900101-1234567 입니다", "주민번호 <KR_RRN> 입니다"),
    ("900101 – 1234567", "<KR_RRN>"),
    ("９００１０１-１２３４５６７", "<KR_RRN>"),  # full-width digits
    ("900101\u200b-1\u200c234567", "<KR_RRN>"),  # split by invisible characters
    ("외국인 900101.5234567", "외국인 <KR_RRN>"),
    ("전화는010-1234-5678로", "전화는<PHONE_NUMBER>로"),
    ("010 1234 5678, 01012345678", "<PHONE_NUMBER>, <PHONE_NUMBER>"),
    ("+82 10-1234-5678", "<PHONE_NUMBER>"),
    ("02-123-4567", "<PHONE_NUMBER>"),
    ("call (415) 555-2671", "call <PHONE_NUMBER>"),
    ("+44 20 7946 0958", "<PHONE_NUMBER>"),
    ("메일은kim@example.com입니다", "메일은<EMAIL_ADDRESS>입니다"),
    ("kim@sub.example.co.kr", "<EMAIL_ADDRESS>"),
    ("4111 1111 1111 1111", "<CREDIT_CARD>"),
    ("4111–1111–1111–1111", "<CREDIT_CARD>"),
    ("3782 822463 10005", "<CREDIT_CARD>"),
    ("저는 서울시 강남구 테헤란로 152 3층에 살아요", "저는 <ADDRESS>에 살아요"),
    ("서울특별시 강남구 역삼동 737", "<ADDRESS>"),
    ("경기도 성남시 분당구 판교역로 166번길 12, 101동 502호", "<ADDRESS>"),
    ("101동 502호", "<ADDRESS>"),
    ("12 Elm Street, Apt 4", "<ADDRESS>"),
    ("GB82WEST12345698765432", "<IBAN_CODE>"),
    ("여권 M123A4567", "여권 <KR_PASSPORT>"),
    ("여권 M12345678", "여권 <KR_PASSPORT>"),
    ("85.12.31-2345678", "<KR_RRN>"),
    ("770707 1·234567", "<KR_RRN>"),
    ("220-81-62517", "<KR_BRN>"),
    ("11-22-123456-78", "<KR_DRIVER_LICENSE>"),
]

HARMLESS: Final = [
    "자전거로 10분 가기",
    "강남구 자전거로 10분",
    "바다로 3km, 산으로 2시간",
    "하루 30분, 1주일에 3번, 3,000보",
    "2026-11-21에 1,234,567원을 아꼈어요",
    "오늘 12345678 걸음",
    "Walk 5 km on Main Street",
    "25.11.21-25.12.31 동안 2345명이 함께해요",
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_personal_data_is_replaced_by_its_kind(text: str, expected: str) -> None:
    assert redact(text).replace("KR_FRN", "KR_RRN") == expected


@pytest.mark.slow
@pytest.mark.parametrize("text", HARMLESS)
def test_what_challenges_are_made_of_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.slow
def test_the_rest_of_the_text_stays_as_it_was() -> None:
    text = "①ﬁ\u200b 가나 010-1234-5678\u200b ②"
    (found,) = find_personal_data(text)
    assert text[found.start : found.end] == "010-1234-5678"
    assert redact(text) == "①ﬁ\u200b 가나 <PHONE_NUMBER>\u200b ②"


@pytest.mark.parametrize("text", [text for text, _ in FOUND])
def test_the_quick_look_misses_nothing(text: str) -> None:
    assert _SIGNS.search(_plain(text)[0])


def test_text_without_a_sign_is_never_handed_on() -> None:
    assert redact("분리수거를 30분 동안 3번 해요") == "분리수거를 30분 동안 3번 해요"
    assert "presidio_analyzer" not in sys.modules


@given(text=st.text())
def test_every_character_of_the_plain_text_has_its_origin(text: str) -> None:
    plain, origins = _plain(text)
    assert len(plain) == len(origins)
    assert list(origins) == sorted(origins)
    assert all(0 <= origin < len(text) for origin in origins)
