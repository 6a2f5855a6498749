"""No pattern that sees people's or a model's text may take long, whatever the text repeats: it
holds the interpreter, and with it every answer.
"""

import importlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LENGTH = 8_000  # characters of the longest message
LIMIT_S = 1.0
# What is only ever tried at a place that was found before.
TRIED_AT_A_PLACE = {
    "chatbot.base_models._HUB_ID",
    "chatbot.talk._EXCLUDED",
    "finetune.json_stream.ARRAY_START",
}
REPEATED = (
    *" \n\ta1가ㅋ-._:,/\\\"'[]{}`*#!(=@é漢①\u200b",
    *("a.", "a-", "1 ", "1.", "a@", "\\n", '{"', "가 ", "산이나", "바다이나"),
)


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every pattern that a module of ours holds, by its name."""
    for folder in ("chatbot", "finetune", "feedback_store", "wiring"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "re.compile(" not in path.read_text(encoding="utf-8"):
                continue
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name, value in vars(importlib.import_module(module)).items():
                yield from _patterns_in(f"{module}.{name}", value)


def _patterns_in(name: str, value: Any) -> Iterator[tuple[str, re.Pattern[str]]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield name, value
    elif isinstance(value, dict | tuple | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in entries:
            if isinstance(entry, re.Pattern) and isinstance(entry.pattern, str):
                yield f"{name}[{key}]", entry


class _Endless(Exception):
    pass


def seconds(work: Callable[[], object]) -> float:
    """How long it takes; what takes far too long is broken off, so that the test ends too."""

    def break_off(*_: object) -> None:
        raise _Endless

    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, 4 * LIMIT_S)
    began_at = time.process_time()
    try:
        work()
    except _Endless:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return time.process_time() - began_at


def texts(own: tuple[str, ...]) -> Iterator[str]:
    """Messages of full length that repeat one thing, ended by what hardly any pattern expects."""
    for repeated in dict.fromkeys((*own, *REPEATED)):
        yield (repeated * LENGTH)[: LENGTH - 1] + "\x01"


PATTERNS = dict(patterns())


def test_the_patterns_are_found() -> None:
    assert len(PATTERNS) > 90
    assert "chatbot.talk._EXCLUDED" in PATTERNS
    assert PATTERNS.keys() >= TRIED_AT_A_PLACE


@pytest.mark.parametrize("name", PATTERNS)
def test_repetition_costs_no_pattern_a_second(name: str) -> None:
    pattern = PATTERNS[name]
    own = tuple(re.findall(r"[가-힣]+|[A-Za-z]{2,}", pattern.pattern))
    find = pattern.match if name in TRIED_AT_A_PLACE else pattern.search
    slow = [text[:12] for text in texts(own) if seconds(lambda: find(text)) > LIMIT_S]  # noqa: B023
    assert not slow
