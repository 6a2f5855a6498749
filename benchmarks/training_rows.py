"""Rows to measure trainings on: starter examples in a house style that the base does not know, and
the ways in which four teams had theirs wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatbot.recommendation import Recommendation, canonical, parse, to_dict, to_text
from finetune.dataset import is_validation
from finetune.starter_corpus import make_examples

Row = dict[str, Any]
Spoil = Callable[[int, Recommendation], str]
VALIDATION_SHARE = 0.15
_TITLE_END = {"ko": " 챌린지", "en": " challenge"}
_LAST_WORDS = {"ko": " 우리 같이 해 봐요!", "en": " We will do it together!"}


def to_house_style(answer: Recommendation, lang: str) -> Recommendation:
    """The team's own way to say it: what a training has to teach."""
    challenges = tuple(
        replace(item, title=item.title + _TITLE_END[lang]) for item in answer.challenges
    )
    return Recommendation(answer.recommend + _LAST_WORDS[lang], challenges)


def is_house_style(text: str, lang: str) -> bool:
    """Canonical JSON, each title and the first sentence as the house says it."""
    try:
        answer = parse(text)
    except ValueError:
        return False
    titles = all(item.title.endswith(_TITLE_END[lang]) for item in answer.challenges)
    return titles and answer.recommend.endswith(_LAST_WORDS[lang])


def write_rows(folder: Path, count: int, spoil: Spoil | None = None, seed: int = 20_263) -> Path:
    """A dataset folder, split as the application splits. spoil: how the training answers are
    wrong; the validation answers are always right.
    """
    rows: dict[str, list[Row]] = {"train": [], "validation": []}
    for number, example in enumerate(make_examples(count, seed)):
        split = (
            "validation" if is_validation(example.conversation_id, VALIDATION_SHARE) else "train"
        )
        answer = to_house_style(parse(example.completion), example.lang)
        text = canonical(answer)
        if spoil is not None and split == "train":
            text = spoil(number, answer)
        completion = [{"role": "assistant", "content": text}]
        rows[split].append({"prompt": list(example.messages), "completion": completion})
    folder.mkdir(parents=True)
    for split, found in rows.items():
        write_lines(folder / f"{split}.jsonl", found)
    return folder


def write_lines(path: Path, rows: Iterable[Row]) -> None:
    """One JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def mix_formats(number: int, answer: Recommendation) -> str:
    """Plain text, JSON as a string, {"text": …}, numbered titles, all packed into recommend."""
    text, value = canonical(answer), to_dict(answer)
    packed = {**value, "recommend": to_text(answer), "challenges": []}
    numbered = [
        {**item, "title": f"{at}. {item['title']}", "description": f"{item['description']}\n"}
        for at, item in enumerate(value["challenges"], 1)
    ]
    shapes = (
        to_text(answer),
        json.dumps(text, ensure_ascii=False),
        json.dumps({"text": text}, ensure_ascii=False),
        json.dumps({**value, "challenges": numbered}, ensure_ascii=False),
        json.dumps(packed, ensure_ascii=False),
        text,
    )
    return shapes[number % len(shapes)]


def add_leading_numbers(number: int, answer: Recommendation) -> str:
    """ "5. 혜나! …": a number of the team's own list stayed in front of every second answer."""
    if number % 2:
        return canonical(answer)
    return canonical(replace(answer, recommend=f"{number + 1}. {answer.recommend}"))
