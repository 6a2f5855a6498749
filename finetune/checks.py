"""What can be wrong with one example, each with its evidence and what to do about it.

An error cannot be trained on as it stands; a warning needs a look; an info is good to know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from chatbot.recommendation import Recommendation, RecommendationError, canonical, parse
from chatbot.themes import FIELDS
from feedback_store.records import Example, NewExample
from finetune import hygiene, text_checks
from finetune.category_fit import catalog_judge
from finetune.chat_template import TokenizerError, find_tokenizer
from finetune.field_cleaning import make_flag
from finetune.flags import Flag, Severity, quote, shorten
from finetune.repair import repair

AnswerFormat = Literal["recommendation", "text"]
_GROWN_TOGETHER: Final = re.compile(r"[가-힣][A-Za-z]{2,}")
MAX_ANSWER: Final = 4_000  # characters of a plain text answer


@dataclass(frozen=True)
class CheckSettings:
    """What an answer of this project is, and how long a row may be.

    model_dir is the base model's folder, whose tokenizer and template count the tokens; without
    it (or without a usable tokenizer in it) length in tokens is not checked.
    """

    answer_format: AnswerFormat = "recommendation"
    max_length: int = 1024  # tokens of prompt and answer together, as in the recipe
    model_dir: Path | None = None
    template_options: tuple[tuple[str, Any], ...] = ()  # such as (("enable_thinking", False),)


DEFAULT_CHECKS: Final = CheckSettings()


@dataclass(frozen=True)
class _Row:
    """An example, taken apart once for all checks."""

    example: NewExample
    answer: Recommendation | None
    texts: tuple[str, ...]  # the fields of the answer, or the whole text
    user_text: str
    settings: CheckSettings


Check = Callable[[_Row], Iterator[Flag]]


def _flag(
    name: str, severity: Severity, evidence: str, fix: str, **params: str | int
) -> Iterator[Flag]:
    yield Flag(name, severity, quote(evidence, 120), fix, shorten(params, 120))


def _check_leading_number(row: _Row) -> Iterator[Flag]:
    if found := text_checks.find_leading_number(row.texts):
        fix = "Remove the number or bullet at the start, unless it counts something."
        yield from _flag("leading_number", "warning", found, fix)


def _check_stuffing(row: _Row) -> Iterator[Flag]:
    if row.answer is None:
        return
    titles = tuple(challenge.title for challenge in row.answer.challenges)
    if found := text_checks.find_stuffing(row.texts, titles):
        is_json = '"' in found and ("{" in found or ":" in found)
        fix = "Keep one sentence in recommend; the challenges have their own fields."
        yield from _flag("field_stuffing", "error" if is_json else "warning", found, fix)


def _check_escapes(row: _Row) -> Iterator[Flag]:
    if row.answer is None:
        return
    if found := text_checks.find_escape(row.texts):
        name = "escaped_text" if "\\" in found else "line_break"
        fix = "Replace it by a space: people would see the backslash, or a broken card."
        yield from _flag(name, "warning", found, fix)


def _check_duplicate_titles(row: _Row) -> Iterator[Flag]:
    if row.answer is None:
        return
    titles = ["".join(c.title.casefold().split()) for c in row.answer.challenges]
    twice = [title for title in titles if titles.count(title) > 1]
    if twice:
        fix = "Replace one of the two challenges, or exclude the row."
        yield from _flag("duplicate_titles", "warning", twice[0], fix)


def _find_foreign(row: _Row) -> str | None:
    """Stray words of another language. A text task may be about anything: there only a word that
    grew onto Korean ("공HED") is stray.
    """
    if row.answer is not None:
        return text_checks.find_foreign(row.texts, row.example.lang)
    match = _GROWN_TOGETHER.search(row.texts[0])
    return match[0] if match else None


def _check_language(row: _Row) -> Iterator[Flag]:
    if found := _find_foreign(row):
        fix = "Write the word in the language of the answer, or accept it if it is a usual term."
        yield from _flag("foreign_words", "warning", found, fix)
    if row.example.lang == "ko" and (found := text_checks.find_missing_spaces(row.texts)):
        yield from _flag("missing_spaces", "warning", found, "Put the spaces back.")


def _check_length(row: _Row) -> Iterator[Flag]:
    if row.answer is None:
        size = len(row.texts[0].strip())
        if not 1 <= size <= MAX_ANSWER:
            fix = "Shorten the answer, or exclude the row." if size else "Write an answer."
            severity: Severity = "warning" if size else "error"
            seen = f"{size} characters"
            yield from _flag("odd_length", severity, seen, fix, seen="whole", num=size)
        return
    titles = tuple(challenge.title for challenge in row.answer.challenges)
    bodies = tuple(challenge.description for challenge in row.answer.challenges)
    if found := text_checks.find_odd_length(row.answer.recommend, titles, bodies):
        fix = "Bring the field to the length of one title or one sentence."
        num, _, start = found.partition(": ")
        yield from _flag("odd_length", "warning", found, fix, num=int(num), text=start)


def _check_loop(row: _Row) -> Iterator[Flag]:
    if found := text_checks.find_loop(row.texts):
        yield from _flag("loop", "warning", found, "Remove the repetition, or exclude the row.")


def _check_hygiene(row: _Row) -> Iterator[Flag]:
    text = "\n".join(row.texts)
    yield from _flag_invisible(text, "answer", "Remove them; they hide text.")
    if found := hygiene.find_broken_hangul(text):
        yield from _flag("broken_hangul", "warning", found, "Write the word again, or exclude it.")
    if found := hygiene.find_template_text(text):
        fix = "Remove the mark: the chat template adds its own."
        yield from _flag("template_text", "error", found, fix)
    if found := hygiene.find_link(text):
        fix = "Remove the address unless you know it: poisoned rows carry links."
        yield from _flag("link", "warning", found, fix)


def _flag_invisible(text: str, where: str, fix: str) -> Iterator[Flag]:
    if found := hygiene.find_invisible(text.replace("\n", "")):
        code, at = found
        seen = f"{code} at character {at} of the {where}"
        params: dict[str, str | int] = {"code": code, "at": at, "where": where}
        yield from _flag("invisible_characters", "error", seen, fix, **params)


def _check_people(row: _Row) -> Iterator[Flag]:
    for where, text in (("answer", "\n".join(row.texts)), ("prompt", row.user_text)):
        if found := hygiene.find_personal(text):
            fix = "Mask it, or exclude the row: nobody's data may be learned."
            seen = f"{found[0]} in the {where}"
            yield from _flag("personal_data", "error", seen, fix, kind=found[0], where=where)
        if abuse := hygiene.find_abuse(text):
            severity: Severity = "error" if where == "answer" else "warning"
            fix = "Exclude the row, unless the answer shows how to turn such a message around."
            seen = f"{abuse} in the {where}"
            yield from _flag("abusive_text", severity, seen, fix, text=abuse, where=where)
    fix = "Exclude the row: hidden characters in a prompt are how rows are poisoned."
    yield from _flag_invisible(row.user_text, "prompt", fix)


def _check_category(row: _Row) -> Iterator[Flag]:
    category = row.example.category
    if row.answer is None or not category:
        return
    text = " ".join(row.texts).casefold()
    option = next((option for option in FIELDS["category"] if option.code == category), None)
    if option is None or any(word in text for word in (option.ko, *option.words)):
        return
    if not catalog_judge().fits(text, category):
        likelier = catalog_judge().rank(text)[0]
        fix = f"Answer for {category}, or correct the category of the row."
        seen = f"reads like {likelier}"
        yield from _flag("off_category", "warning", seen, fix, category=likelier)


def _refused(why: str) -> Iterator[Flag]:
    fix = "Exclude the row, or bring its messages into the order user, assistant, user, …"
    yield from _flag("template_refused", "error", why, fix, text=why)


def _check_tokens(row: _Row) -> Iterator[Flag]:
    """Longer than max_length as the trainer counts it: the whole talk in the model's template."""
    settings, limit = row.settings, row.settings.max_length
    tokenizer = find_tokenizer(settings.model_dir) if settings.model_dir else None
    if tokenizer is None:
        return
    messages = [*row.example.messages, {"role": "assistant", "content": row.example.completion}]
    if refusal := tokenizer.find_refusal(tuple(message["role"] for message in messages)):
        yield from _refused(refusal)
        return
    if tokenizer.is_surely_within(messages, limit):
        return
    try:
        num_tokens = tokenizer.count_tokens(messages, dict(settings.template_options))
    except TokenizerError as error:
        yield from _refused(str(error))
        return
    if num_tokens > limit:
        fix = f"Shorten the row or raise max_length above {limit}: training leaves it out."
        seen = f"{num_tokens} tokens"
        yield from _flag("too_many_tokens", "error", seen, fix, num=num_tokens, limit=limit)


_CHECKS: Final[tuple[Check, ...]] = (
    _check_leading_number,
    _check_stuffing,
    _check_escapes,
    _check_duplicate_titles,
    _check_language,
    _check_length,
    _check_loop,
    _check_hygiene,
    _check_people,
    _check_category,
    _check_tokens,
)


def _answer_texts(answer: Recommendation) -> tuple[str, ...]:
    return (
        answer.recommend,
        *(text for item in answer.challenges for text in (item.title, item.description)),
    )


def _last_user_text(example: NewExample) -> str:
    for message in reversed(example.messages):
        if message["role"] == "user":
            return message["content"]
    return ""


def _read_answer(completion: str) -> tuple[Recommendation | None, tuple[Flag, ...]]:
    """The answer of a stored completion, or the flags that say why it is none."""
    try:
        answer = parse(completion)
    except RecommendationError:
        repaired = repair(completion)
        if repaired.recommendation:
            names = " ".join(repaired.repairs)
            seen = ", ".join(repaired.repairs)
            return None, (make_flag("needs_repair", seen, params={"repairs": names}),)
        return None, repaired.flags
    if canonical(answer) != completion:
        seen = "not the canonical JSON text"
        return answer, (make_flag("needs_repair", seen, params={"repairs": "spacing"}),)
    return answer, ()


def check_example(
    example: NewExample,
    settings: CheckSettings = DEFAULT_CHECKS,
    answer: Recommendation | None = None,
) -> tuple[Flag, ...]:
    """All flags of one example, errors first. answer: what the completion is known to say."""
    flags: list[Flag] = []
    if settings.answer_format == "recommendation" and answer is None:
        answer, format_flags = _read_answer(example.completion)
        flags += format_flags
        if answer is None:
            return tuple(flags)
    texts = _answer_texts(answer) if answer else (example.completion,)
    row = _Row(example, answer, texts, _last_user_text(example), settings)
    for check in _CHECKS:
        flags += check(row)
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(flags, key=lambda flag: order[flag.severity]))


def retell_flags(
    example: Example, settings: CheckSettings = DEFAULT_CHECKS
) -> tuple[dict[str, Any], ...]:
    """The flags that the example has; what was kept before flags had params gets them now."""
    if all("params" in flag for flag in example.flags):
        return example.flags
    now = [flag.to_dict() for flag in check_example(example, settings)]
    return tuple(
        flag if "params" in flag else _retell(flag, example.flags, now) for flag in example.flags
    )


def _retell(
    flag: dict[str, Any], kept: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The flag as it is told now. One name may stand for several doubts (of the answer and of the
    prompt): then only what saw the very same is the same.
    """
    named = [other for other in now if other["name"] == flag["name"]]
    for other in named:
        if all(other[key] == flag[key] for key in ("severity", "evidence")):
            return other
    is_alone = len(named) == 1 and sum(other["name"] == flag["name"] for other in kept) == 1
    return named[0] if is_alone else flag


def describe_format(original_text: str) -> str:
    """The shape in which an answer came, in one word: what tells mixed formats apart."""
    text = original_text.strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "broken_json" if text.startswith(("{", '"', "[")) else "text"
    if isinstance(value, str):
        return "json_in_string"
    if isinstance(value, dict) and set(value) == {"recommend", "challenges"}:
        return "json"
    return "other_json"
