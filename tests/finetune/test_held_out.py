from collections import Counter

from chatbot.themes import CATEGORIES, BaseInfo
from finetune.held_out import HELD_OUT, is_held_out


def test_two_pairs_of_each_category_are_held_out() -> None:
    counts = Counter(category for _, _, category in HELD_OUT)
    assert counts == {option.code: 2 for option in CATEGORIES}


def test_every_pair_of_location_and_work_type_is_held_out_once() -> None:
    pairs = Counter((location, work_type) for location, work_type, _ in HELD_OUT)
    assert len(pairs) == 16
    assert set(pairs.values()) == {1}


def test_the_combinations_never_move() -> None:
    media = {(location, work_type) for location, work_type, theme in HELD_OUT if theme == "MEDIA"}
    assert media == {("beach", "field"), ("rural", "remote")}


def test_is_held_out_agrees_with_the_set() -> None:
    assert is_held_out(BaseInfo("beach", "field", "MEDIA"))
    assert not is_held_out(BaseInfo("city", "field", "MEDIA"))
