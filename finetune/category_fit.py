"""Which category a text speaks of: the judge behind the category fit of a report.

Naive Bayes on character bigrams and trigrams, learned from the catalog and from the words of
the themes. Why not a list of keywords: most good challenges never name their category ("텀블러로
커피 받기"), and Korean endings change words. Why not a model: the judge must be the same on every
machine, cost nothing, and be explainable; its own error rate is measured by a test that leaves
challenges out.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from chatbot.themes import CATEGORIES

CATALOG_PATH: Final = Path(__file__).parent.parent / "assets" / "catalog.json"
_SMOOTHING: Final = 0.1  # added to every count, so that an unseen piece does not decide alone
_ACCEPTED_RANKS: Final = 2  # neighbours (zero waste / upcycling) share honest challenges
_WORD = re.compile(r"\w+")


def _pieces(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for word in _WORD.findall(text.casefold()):
        padded = f" {word} "
        for size in (2, 3):
            found.update(padded[at : at + size] for at in range(len(padded) - size + 1))
    return found


class CategoryJudge:
    """Ranks the categories by how well their known texts explain a new one."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for category, text in texts:
            counts[category].update(_pieces(text))
        vocabulary = len(set().union(*counts.values()))
        self._weights = {}
        self._unseen = {}
        for category, pieces in counts.items():
            total = pieces.total() + _SMOOTHING * vocabulary
            self._weights[category] = {
                piece: math.log((count + _SMOOTHING) / total) for piece, count in pieces.items()
            }
            self._unseen[category] = math.log(_SMOOTHING / total)

    def rank(self, text: str) -> list[str]:
        """All categories, the likeliest first."""
        pieces = _pieces(text)

        def score(category: str) -> float:
            weights, unseen = self._weights[category], self._unseen[category]
            return sum(count * weights.get(piece, unseen) for piece, count in pieces.items())

        return sorted(self._weights, key=score, reverse=True)

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
