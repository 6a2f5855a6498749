import random
from collections.abc import Iterable

from finetune.near_duplicates import SignatureBook

WORDS = [
    "텀블러",
    "장바구니",
    "리필숍",
    "바닷가",
    "산책",
    "재택",
    "회의실",
    "이메일",
    "두부",
    "채식",
    "자전거",
    "걷기",
    "절전",
    "멀티탭",
]


def sentences(count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=40)) + f" {number}" for number in range(count)]


def find_twins(texts: Iterable[str]) -> dict[int, int]:
    """Index → index of an earlier text that is nearly the same."""
    book = SignatureBook()
    for text in texts:
        book.add(text)
    return {index: int(twin) for index, twin in enumerate(book.find_twins()) if twin >= 0}


def test_nearly_the_same_text_is_found_with_its_twin() -> None:
    texts = sentences(300)
    changed = texts[42] + "!"
    spaced = texts[7].replace(" ", "  ")
    assert find_twins([*texts, changed, spaced]) == {300: 42, 301: 7}


def test_texts_that_differ_are_left_alone() -> None:
    assert find_twins(sentences(3_000)) == {}


def test_a_thousand_copies_are_found_without_comparing_each_with_each() -> None:
    found = find_twins(["늘 같은 답을 합니다, 정말로요."] * 5_000)
    assert len(found) == 4_999
    assert set(found.values()) == {0}


def test_recall_on_pairs_that_differ_in_one_word() -> None:
    texts = sentences(500)
    changed = [text.replace(text.split()[6], "물병", 1) for text in texts]
    found = find_twins([*texts, *changed])
    assert sum(found.get(500 + n) == n for n in range(500)) > 450


def test_nothing_gives_nothing_and_short_texts_compare_too() -> None:
    assert find_twins([]) == {}
    assert find_twins(["", "가", "가", "나"]) == {2: 1}
