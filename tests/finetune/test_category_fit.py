"""The judge of category fit, measured on challenges it has not seen."""

from __future__ import annotations

import random

import pytest

from finetune.category_fit import CategoryJudge, catalog_judge, catalog_texts, theme_texts


def _folds(num_folds: int) -> list[tuple[list[tuple[str, str]], list[tuple[str, str]]]]:
    texts = catalog_texts()
    pairs = [texts[at : at + 2] for at in range(0, len(texts), 2)]  # the two languages together
    return [
        (
            [text for at, pair in enumerate(pairs) if at % num_folds != fold for text in pair],
            [text for at, pair in enumerate(pairs) if at % num_folds == fold for text in pair],
        )
        for fold in range(num_folds)
    ]


def test_the_judge_knows_the_category_of_unseen_answers() -> None:
    draw = random.Random(0)
    hits = count = 0
    for known, unseen in _folds(5):
        judge = CategoryJudge([*known, *theme_texts()])
        for category in {category for category, _ in unseen}:
            own = [text for code, text in unseen if code == category]
            for _ in range(10):
                hits += judge.fits(" ".join(draw.sample(own, 3)), category)
                count += 1
    assert hits / count > 0.95


def test_an_answer_about_something_else_does_not_fit() -> None:
    draw = random.Random(1)
    codes = sorted({category for category, _ in catalog_texts()})
    misses = count = 0
    for category in codes:
        own = [text for code, text in catalog_texts() if code == category]
        for other in codes:
            if other != category:
                misses += not catalog_judge().fits(" ".join(draw.sample(own, 3)), other)
                count += 1
    assert misses / count > 0.8


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("두부 샐러드로 한 끼 먹기 고기 대신 두부와 콩으로 점심을 차려 보세요", "VEGAN"),
        ("안 쓰는 이메일 지우기 메일함에서 오래된 메일을 지워 보세요", "DIGITAL_CARBON"),
        ("Pick up litter while you jog along the beach", "PLOGGING"),
    ],
)
def test_plain_wording_is_understood(text: str, category: str) -> None:
    assert catalog_judge().rank(text)[0] == category
