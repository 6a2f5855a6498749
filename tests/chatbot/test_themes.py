"""Options, labels and aliases."""

from itertools import chain

import pytest

from chatbot.themes import FIELDS, UnknownOption, detect_lang, find_option, get_label


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("location", "도시", "city"),
        ("location", " BEACH ", "beach"),
        ("work_type", "재택근무", "remote"),
        ("category", "UPCYCLE", "UPCYCLING"),
        ("category", "upcycling", "UPCYCLING"),
        ("category", "디지털 탄소", "DIGITAL_CARBON"),
        ("category", "Zero waste", "ZERO_WASTE"),
    ],
)
def test_labels_codes_and_aliases_find_the_option(field: str, value: str, code: str) -> None:
    assert find_option(field, value).code == code


def test_an_unknown_value_is_named_with_the_possible_ones() -> None:
    with pytest.raises(
        UnknownOption, match=r"category '우주' is unknown; possible are .*비건\(VEGAN\)"
    ):
        find_option("category", "우주")


def test_every_code_has_both_labels_and_no_name_is_taken_twice() -> None:
    for field, options in FIELDS.items():
        names = list(chain.from_iterable((o.code, o.ko, *o.aliases) for o in options))
        assert len(set(map(str.casefold, names))) == len(names)
        assert all(get_label(field, option.code, "ko") == option.ko for option in options)
        assert all(get_label(field, option.code, "en") == option.en for option in options)


@pytest.mark.parametrize(
    ("text", "lang"), [("안녕", "ko"), ("ㅋㅋ ok", "ko"), ("hello", "en"), ("", "en")]
)
def test_any_hangul_makes_a_text_korean(text: str, lang: str) -> None:
    assert detect_lang(text) == lang
