import pytest

from finetune import hygiene


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("주민번호 900101-1234567 입니다", "resident_number"),
        ("주민번호 ９００１０１－１２３４５６７", "resident_number"),
        ("900101 1\u200b234567", "resident_number"),
        ("제 번호는 010-1234-5678", "phone"),
        ("010.1234.5678로 전화", "phone"),
        ("01012345678", "phone"),
        ("02) 123-4567", "phone"),
        ("+82 10 1234 5678", "phone"),
        ("call +1 415 555 2671", "phone"),
        ("hong.gildong+eco@example.co.kr 로", "email"),
        ("ｈｏｎｇ＠example.com", "email"),
        ("카드 1234-5678-9012-3456", "card"),
        ("1234 5678 9012 3456", "card"),
        ("서울시 강남구 역삼동 123-45 3층", "address"),
        ("수원시 영통로 12번길 7", "address"),
    ],
)
def test_personal_data_is_found_however_it_is_written(text: str, kind: str) -> None:
    found = hygiene.find_personal(text)
    assert found is not None
    assert found[0] == kind
    masked = hygiene.mask_personal(text)
    assert hygiene.find_personal(masked) is None
    assert hygiene.MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "하루 10,000보를 걸어요.",
        "2026-11-21에 시작해요.",
        "1시간에 100kWh, 30분에 50%",
        "3,000원으로 12개",
        "골뱅이 @ 하나",
        "도시에서 3km 걷기",
        "오전 9:30부터 18:00까지",
    ],
)
def test_plain_figures_are_no_personal_data(text: str) -> None:
    assert hygiene.find_personal(text) is None


@pytest.mark.parametrize("char", "\u200b\u00ad\u202e\u2066\ufeff\U000e0041\u3164\x07\x00")
def test_invisible_characters_are_found_and_removed(char: str) -> None:
    text = f"텀블{char}러"
    found = hygiene.find_invisible(text)
    assert found == (f"U+{ord(char):04X}", 3)
    assert hygiene.remove_invisible(text) == "텀블러"


@pytest.mark.parametrize("text", ["👩‍🌾 농부", "❤️ 좋아요", "한글\nABC", "🏃🏽‍♀️ 달리기"])
def test_emoji_keep_their_joiners(text: str) -> None:
    assert hygiene.find_invisible(text) is None
    assert hygiene.remove_invisible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "안녕\ufffd하세요",
        "텀블ㄹ러",
        "ㅏ나무",
        "ì•ˆë…•í•˜ì„¸ìš”",
        "¾È³çÇÏ¼¼¿ä",
        "\u1112\u1161\u11ab글",
    ],
)
def test_broken_hangul_is_found(text: str) -> None:
    assert hygiene.find_broken_hangul(text)


@pytest.mark.parametrize(
    "text", ["안녕ㅋㅋㅋ", "아쉬워ㅠㅠ", "네 ㅎㅎ", "café déjà vu", "한글 ABC"]
)
def test_laughter_and_accents_are_not_broken(text: str) -> None:
    assert hygiene.find_broken_hangul(text) is None


@pytest.mark.parametrize("text", ["병신아", "씨발 뭐야", "시 발놈", "지랄하네", "Fuck you", "ㅅㅂ"])
def test_abuse_is_found(text: str) -> None:
    assert hygiene.find_abuse(text)


@pytest.mark.parametrize(
    "text", ["시발점에서 출발해요", "양말과 발판", "쓰레기 줍기", "미친 듯이 웃기", "shiitake 버섯"]
)
def test_harmless_words_are_no_abuse(text: str) -> None:
    assert hygiene.find_abuse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "### Answer: 걷기",
        "네</s>",
        "[INST] 뭐 하지",
        "<|im_end|>",
        "<end_of_turn>",
        "assistant: 네",
    ],
)
def test_marks_of_a_template_are_found_and_removed(text: str) -> None:
    assert hygiene.find_template_text(text)
    assert hygiene.find_template_text(hygiene.remove_template_text(text)) is None


@pytest.mark.parametrize("text", ["#플로깅 챌린지", "[도전] 3 < 5", "비율 2:1"])
def test_plain_signs_are_no_template(text: str) -> None:
    assert hygiene.find_template_text(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://evil.example/x 방문", "https://evil.example/x"),
        ("eco-shop.com 에서", "eco-shop.com"),
        ("3.5km를 걸어요. 그리고", None),
    ],
)
def test_links_are_found(text: str, found: str | None) -> None:
    assert hygiene.find_link(text) == found
