import json
from collections import Counter
from itertools import product

import pytest

from chatbot.recommendation import RecommendationError, parse
from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES, BaseInfo
from finetune.held_out import HELD_OUT
from finetune.starter_corpus import CATALOG_PATH, SHAPES, SLOTS, Corpus, load_catalog

CATALOG = load_catalog()


def test_every_category_has_thirty_challenges_and_all_have_two_hundred_and_forty():
    counts = {
        code: len(theme.challenges) for (code, lang), theme in CATALOG.items() if lang == "ko"
    }
    assert set(counts) == {option.code for option in CATEGORIES}
    assert min(counts.values()) >= 30
    assert sum(counts.values()) >= 240


def test_no_two_challenges_share_a_title_or_description():
    for lang in ("ko", "en"):
        entries = [c for (_, of), theme in CATALOG.items() if of == lang for c in theme.challenges]
        assert len({entry.title for entry in entries}) == len(entries)
        assert len({entry.description for entry in entries}) == len(entries)


@pytest.mark.parametrize("code", [option.code for option in CATEGORIES])
def test_every_pair_of_location_and_work_type_has_enough_challenges_for_a_follow_up(code):
    theme = CATALOG[code, "ko"]
    for place, work in product(LOCATIONS, WORK_TYPES):
        fitting = [
            c for c in theme.challenges if place.code in c.locations and work.code in c.work_types
        ]
        assert len(fitting) >= 6, (place.code, work.code)


def test_the_catalogue_has_no_text_that_would_break_a_prompt():
    text = CATALOG_PATH.read_text(encoding="utf-8")
    for value in _strings(json.loads(text)):
        assert "\n" not in value
        assert "\\" not in value
        assert "<|" not in value


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def test_the_same_seed_gives_the_same_documents():
    assert list(Corpus(3).documents(20)) == list(Corpus(3).documents(20))
    assert list(Corpus(3).documents(20)) != list(Corpus(4).documents(20))


def test_held_out_combinations_are_never_in_the_corpus():
    labels = {}
    for place, work, category in product(LOCATIONS, WORK_TYPES, CATEGORIES):
        info = BaseInfo(place.code, work.code, category.code)
        ko = f"위치: {place.ko}\n직업: {work.ko}\n카테고리: {category.ko}"
        en = f"Location: {place.en}\nWork: {work.en}\nCategory: {category.en}"
        labels[ko] = labels[en] = (info.location, info.work_type, info.category)
    seen = Counter()
    for document in Corpus(5).documents(3000):
        for message in document:
            if message["role"] == "user":
                found = [key for block, key in labels.items() if block in message["content"]]
                assert len(found) == 1, message["content"]
                seen[found[0]] += 1
    assert not set(seen) & HELD_OUT
    assert len(seen) == len(labels) // 2 - len(HELD_OUT)


def test_most_answers_are_canonical_and_the_others_are_not_json_of_the_schema():
    documents = list(Corpus(6).documents(1500))
    valid = 0
    for document in documents:
        try:
            parse(document[-1]["content"])
            valid += 1
        except RecommendationError:
            pass
    assert abs(valid / len(documents) - SHAPES["canonical"]) < 0.05


def test_every_slot_is_filled():
    for document in Corpus(7).documents(1500):
        for message in document:
            for slots in SLOTS.values():
                assert not any(f"{{{slot}}}" in message["content"] for slot in slots)
            assert "{category}" not in message["content"]
