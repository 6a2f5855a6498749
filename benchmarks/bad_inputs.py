"""Random input for every parser that meets what strangers, models or files say: each may refuse
with its own error, and nothing else may come out.

Prints how many inputs there were and which got through as a defect. Used by benchmarks/abuse.py.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from chatbot import wire
from chatbot.engines.sse import BrokenEvents, SseDecoder
from chatbot.identity import PERSON_COOKIE, SESSION_COOKIE, Identity, is_from_this_machine
from chatbot.recommendation import RecommendationError, from_dict, parse
from chatbot.route_path import route_path
from chatbot.stream import ReadableStream
from chatbot.talk import follow_talk
from chatbot.themes import BaseInfo, UnknownOption, find_option
from feedback_store.csv_text import to_csv
from feedback_store.text import clean_text
from finetune.checks import check_example
from finetune.repair import repair
from finetune.row_mapping import RowError, map_row
from finetune.source_files import FormatError, iter_rows
from tests.finetune.examples import make_example
from tests.scripted_engine import ANSWER_TEXT

INFO = BaseInfo("city", "office", "VEGAN")
PIECES = (
    "{", "}", "[", "]", '"', "'", ":", ",", "\\", "\\n", "\\u", "\\ud83d", "\\u0000", "\n", "\r\n",
    "\u2028", "\x00", "\x1b[31m", "\ud800", "\ufeff", "\u200b", "\u202e", "null", "true", "NaN",
    "1e999", "-0", "9" * 400, "recommend", "challenges", "title", "description", "sessionId",
    "message", "도시", "비건", "사무직", "ZERO_WASTE", "원래대로", "1. ", "```json", "```",
    "data: ", "event: ", "[DONE]", "<s>", "</s>", "[INST]", "<|im_end|>", "=1+1", "<script>", "%00",
    "%2e%2e/",
    "🧑‍🌾", "가", "ㄱ", "ﬁ", "Ω", " ", "  ", "\t", "a" * 300, "{}", "[]", '{"a":' * 40, "[" * 300,
)  # fmt: skip


def make_text(dice: random.Random) -> str:
    """Noise, pieces of what the parsers know, or a sound answer with something broken."""
    kind = dice.random()
    if kind < 0.1:
        return "".join(chr(dice.randrange(0x11_0000)) for _ in range(dice.randrange(40)))
    if kind < 0.6:
        return "".join(dice.choices(PIECES, k=dice.randrange(25)))
    text = ANSWER_TEXT
    for _ in range(dice.randrange(1, 5)):
        at, size = dice.randrange(len(text) + 1), dice.randrange(6)
        text = text[:at] + dice.choice(PIECES) + text[at + size :]
    return text


def make_value(dice: random.Random, depth: int = 0) -> Any:
    """A value of any JSON type."""
    kind = dice.randrange(8 if depth < 4 else 5)
    if kind >= 6:
        return [make_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind == 5:
        keys = ("recommend", "challenges", "title", "messages", "role", "content", "instruction")
        names = (dice.choice((*keys, make_text(dice)[:20])) for _ in range(dice.randrange(5)))
        return {name: make_value(dice, depth + 1) for name in names}
    return (None, True, dice.randrange(-9, 10**18), dice.uniform(-1e300, 1e300), make_text(dice))[
        kind
    ]


@dataclass(frozen=True)
class Parser:
    """What reads, and the errors by which it may say no."""

    name: str
    read: Callable[[random.Random], object]
    may_raise: tuple[type[Exception], ...] = ()


def _bytes(dice: random.Random) -> bytes:
    raw = make_text(dice).encode("utf-8", "surrogatepass")
    return raw if dice.random() < 0.7 else raw[: dice.randrange(len(raw) + 1)] + dice.randbytes(5)


def _stream(dice: random.Random) -> object:
    reader, text = ReadableStream(), make_text(dice)
    cut = dice.randrange(len(text) + 1)
    return reader.feed(text[:cut]), reader.feed(text[cut:]), reader.finish()


def _events(dice: random.Random) -> object:
    decoder = SseDecoder()
    return [decoder.feed(_bytes(dice)) for _ in range(3)]


def _cookies(dice: random.Random) -> object:
    text = make_text(dice)
    identity = _IDENTITY
    assert identity.read_person({PERSON_COOKIE: text}) is None
    assert identity._read_session({SESSION_COOKIE: text}) is None
    return is_from_this_machine({"host": text, "origin": make_text(dice)})


def _file(suffix: str) -> Callable[[random.Random], object]:
    path = Path(tempfile.gettempdir()) / f"ecoloop-bad-input{suffix}"

    def read(dice: random.Random) -> object:
        path.write_bytes(b"\n".join(_bytes(dice) for _ in range(3)))
        try:
            return list(iter_rows(path))
        finally:
            path.unlink(missing_ok=True)

    return read


def _example(dice: random.Random) -> object:
    messages = ({"role": "user", "content": make_text(dice)},)
    text = make_text(dice)
    return check_example(make_example(messages=messages, completion=text, original_text=text))


_IDENTITY = Identity("bad input" * 8)
PARSERS = (
    Parser(
        "body", lambda d: wire.read_body(_bytes(d), wire.FREE_TEXT_FIELDS), (wire.Refusal,)
    ),
    Parser("message", lambda d: wire.read_message({"sessionId": make_value(d),
           "message": make_value(d)}), (wire.Refusal,)),
    Parser("base info", lambda d: wire.read_base_info({"sessionId": "s", "location":
           make_text(d), "workType": make_text(d), "category": make_text(d)}), (wire.Refusal,)),
    Parser("option", lambda d: find_option("category", make_text(d)), (UnknownOption,)),
    Parser("talk", lambda d: follow_talk(make_text(d), INFO, INFO)),
    Parser("clean text", lambda d: clean_text(make_text(d)).encode()),
    Parser("answer", lambda d: parse(make_text(d)), (RecommendationError,)),
    Parser("answer value", lambda d: from_dict(make_value(d)), (RecommendationError,)),
    Parser("answer stream", _stream),
    Parser("engine events", _events, (BrokenEvents,)),
    Parser("cookies", _cookies),
    Parser("path", lambda d: route_path({"path": make_text(d), "root_path": make_text(d)})),
    Parser("repair", lambda d: repair(make_text(d))),
    Parser("row", lambda d: map_row(make_value(d)), (RowError,)),
    Parser("example", _example),
    Parser("csv cell", lambda d: to_csv(["a"], [[make_value(d)]])),
    Parser(".jsonl file", _file(".jsonl"), (FormatError,)),
    Parser(".json file", _file(".json"), (FormatError,)),
    Parser(".csv file", _file(".csv"), (FormatError,)),
    Parser(".xlsx file", _file(".xlsx"), (FormatError,)),
    Parser(".parquet file", _file(".parquet"), (FormatError,)),
)  # fmt: skip


@dataclass
class Outcome:
    """How many inputs, and what came out that should not; by parser."""

    num_inputs: int = 0
    defects: dict[str, str] = field(default_factory=dict)
    num_defects: int = 0


def try_parsers(num: int, seed: int = 8) -> Outcome:
    """So many random inputs to each parser."""
    outcome = Outcome()
    for parser in PARSERS:
        dice = random.Random(f"{seed}{parser.name}")
        for _ in range(num):
            state = dice.getstate()
            outcome.num_inputs += 1
            try:
                with contextlib.suppress(*parser.may_raise):
                    parser.read(dice)
            except Exception as error:  # noqa: BLE001  that is what is looked for
                dice.setstate(state)
                outcome.num_defects += 1
                outcome.defects.setdefault(parser.name, f"{type(error).__name__}: {error}"[:200])
                parser_input = repr(make_text(dice))[:200]
                outcome.defects[parser.name] += f" for {parser_input}"
                dice.random()
    return outcome


def main() -> None:
    """Command line: how many inputs for each parser."""
    outcome = try_parsers(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    for name, defect in outcome.defects.items():
        print(f"{name}: {defect[:600]}")
    print(json.dumps({"bad_inputs": outcome.num_inputs, "defects": outcome.num_defects}))


if __name__ == "__main__":
    main()
