"""Which category a text speaks of: the judge behind the category fit of a report.

Naive Bayes on character bigrams and trigrams, learned from the catalog and from the words of
the themes. Why not a list of keywords: most good challenges never name their category ("텀블러로
커피 받기"), and Korean endings change words. Why not a model: the judge must be the same on every
machine, cost nothing, and be explainable; its own error rate is measured by a test that leaves
challenges out.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from chatbot.themes import CATEGORIES

CATALOG_PATH: Final = Path(__file__).parent.parent / "assets" / "catalog.json"
_SMOOTHING: Final = 0.1  # added to every count, so that an unseen piece does not decide alone
_ACCEPTED_RANKS: Final = 2  # neighbours (zero waste / upcycling) share honest challenges
_REMEMBERED_WORDS: Final = 20_000
_WORD = re.compile(r"\w+")


def _word_pieces(word: str) -> list[str]:
    padded = f" {word} "
    sizes = (2, 3)
    return [padded[at : at + size] for size in sizes for at in range(len(padded) - size + 1)]


def _pieces(text: str) -> list[str]:
    return [piece for word in _WORD.findall(text.casefold()) for piece in _word_pieces(word)]


class CategoryJudge:
    """Ranks the categories by how well their known texts explain a new one."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for category, text in texts:
            counts[category].update(_pieces(text))
        vocabulary = sorted(set().union(*counts.values()))
        self._rows = {piece: row for row, piece in enumerate(vocabulary, 1)}  # 0: never seen
        self._categories = list(counts)
        self._scores: dict[str, tuple[float, ...]] = {}
        self._weights = np.empty((len(vocabulary) + 1, len(counts)))
        for column, pieces in enumerate(counts.values()):
            total = pieces.total() + _SMOOTHING * len(vocabulary)
            known = np.array([0, *(pieces[piece] for piece in vocabulary)])
            self._weights[:, column] = np.log((known + _SMOOTHING) / total)

    def rank(self, text: str) -> list[str]:
        """All categories, the likeliest first."""
        words = _WORD.findall(text.casefold())
        columns = zip(*(self._scores.get(word) or self._score(word) for word in words), strict=True)
        scores = [sum(column) for column in columns] or [0.0] * len(self._categories)
        order = sorted(range(len(scores)), key=lambda column: -scores[column])
        return [self._categories[column] for column in order]

    def _score(self, word: str) -> tuple[float, ...]:
        """The word's weight for each category; remembered, because words come back."""
        rows = [self._rows.get(piece, 0) for piece in _word_pieces(word)]
        found = tuple(self._weights[rows].sum(axis=0).tolist())
        if len(self._scores) < _REMEMBERED_WORDS:
            self._scores[word] = found
        return found

    def fits(self, text: str, category: str) -> bool:
        """Whether the category is among the two likeliest."""
        return category in self.rank(text)[:_ACCEPTED_RANKS]


def catalog_texts(path: Path = CATALOG_PATH) -> list[tuple[str, str]]:
    """(category, text) for every challenge of the catalog in every language."""
    categories = json.loads(path.read_text(encoding="utf-8"))["categories"]
    return [
        (category["code"], f"{challenge['title'][lang]} {challenge['description'][lang]}")
        for category in categories
        for challenge in category["challenges"]
        for lang in challenge["title"]
    ]


def theme_texts() -> list[tuple[str, str]]:
    """(category, words) from the themes: the labels and the words that imply a category."""
    return [(option.code, " ".join((option.ko, option.en, *option.words))) for option in CATEGORIES]


@cache
def catalog_judge() -> CategoryJudge:
    """The judge that reports use."""
    return CategoryJudge([*catalog_texts(), *theme_texts()])
