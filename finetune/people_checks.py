"""Signs that somebody feeds the training on purpose: feedback in bursts, and a rare phrase that one
person writes into answer after answer.

A dozen poisoned rows suffice whatever the total, so these are looked for person by person.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from feedback_store.records import Example, ExampleFilter
from feedback_store.store import Store
from finetune.flags import Flag, quote

MIN_ROWS: Final = 3  # of one person; fewer show no pattern
BURST_ROWS: Final = 10
BURST_WITHIN: Final = timedelta(minutes=5)
PHRASE_WORDS: Final = 3
MIN_PHRASE_CHARS: Final = 8
MAX_PHRASES: Final = 20  # looked up per person
MAX_ROWS: Final = 200  # looked at per person


def _answered_at(store: Store, example: Example) -> datetime | None:
    turn = store.get_turn(example.turn_id) if example.turn_id is not None else None
    return datetime.fromisoformat(turn.created_at) if turn else None


def _find_bursts(store: Store, examples: list[Example]) -> Iterator[tuple[int, Flag]]:
    times = [(at, e.example_id) for e in examples if (at := _answered_at(store, e))]
    times.sort()
    in_burst: set[int] = set()
    for first in range(len(times) - BURST_ROWS + 1):
        window = times[first : first + BURST_ROWS]
        if window[-1][0] - window[0][0] <= BURST_WITHIN:
            in_burst.update(example_id for _, example_id in window)
    for example_id in sorted(in_burst):
        evidence = f"{len(in_burst)} rated answers of one person within minutes"
        fix = "Look at this person's rows together before accepting any."
        yield example_id, Flag("burst", "warning", evidence, fix)


def _readable(completion: str) -> str:
    """The texts of an answer, one a line, without the JSON around them."""
    try:
        value = json.loads(completion)
        parts = [value["recommend"]]
        for item in value["challenges"]:
            parts += [item["title"], item["description"]]
        return "\n".join(parts)
    except (ValueError, TypeError, KeyError, RecursionError):
        return completion


def _phrases(text: str) -> set[str]:
    found: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        runs = (words[at : at + PHRASE_WORDS] for at in range(len(words) - PHRASE_WORDS + 1))
        found.update(" ".join(run) for run in runs)
    return {phrase for phrase in found if len(phrase) >= MIN_PHRASE_CHARS}


def _added_phrases(example: Example) -> set[str]:
    """What the person wrote that the model had not."""
    before = _phrases(_readable(example.rejected or ""))
    return _phrases(_readable(example.completion)) - before


def _find_phrases(store: Store, examples: list[Example]) -> Iterator[tuple[int, Flag]]:
    """Phrases in several corrections of a person that nobody else's examples have."""
    corrected = [(e.example_id, _added_phrases(e)) for e in examples if e.rejected]
    counts = Counter(phrase for _, phrases in corrected for phrase in phrases)
    repeated = [phrase for phrase, count in counts.items() if count >= MIN_ROWS]
    repeated.sort(key=lambda phrase: (-counts[phrase], -len(phrase), phrase))
    flagged: set[int] = set()
    for phrase in repeated[:MAX_PHRASES]:
        if store.count_examples(ExampleFilter(purpose=None, query=phrase)) > counts[phrase]:
            continue  # others write so, too
        for example_id, phrases in corrected:
            if phrase in phrases and example_id not in flagged:
                flagged.add(example_id)
                evidence = f"{quote(phrase)!r} in {counts[phrase]} corrections of one person only"
                fix = "Exclude them unless you know why: a planted phrase looks like this."
                yield example_id, Flag("repeated_phrase", "warning", evidence, fix)


def check_people(store: Store) -> dict[int, Flag]:
    """Flags of pending feedback examples, by their id."""
    waiting = ExampleFilter(state="pending", source="feedback")
    rows_of: defaultdict[str, int] = defaultdict(int)
    for example in store.iter_examples(waiting):
        rows_of[example.person_id] += 1
    flags: dict[int, Flag] = {}
    for person_id, count in rows_of.items():
        if count < MIN_ROWS:
            continue
        theirs = ExampleFilter(state="pending", source="feedback", person_id=person_id)
        examples = store.find_examples(theirs, sort="oldest", limit=MAX_ROWS).items
        flags |= dict(_find_bursts(store, examples))
        flags |= dict(_find_phrases(store, examples))
    return flags
