"""Signs that somebody feeds the training on purpose: feedback in bursts, and a phrase that people
plant in answer after answer, one person or many identities.

A dozen poisoned rows suffice whatever the total, so these are looked for among what waits, however
much was accepted before.
"""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from feedback_store.records import Example, ExampleFilter
from feedback_store.store import Store
from finetune.category_fit import catalog_texts, theme_texts
from finetune.flags import Flag, quote
from finetune.hygiene import normalize
from finetune.readable import read_fields

PEOPLE_FLAGS: Final = frozenset({"burst", "repeated_phrase"})
BURST_ROWS: Final = 10
BURST_WITHIN: Final = timedelta(minutes=5)
MIN_ROWS: Final = 3  # with one phrase, of one person
MIN_ROWS_OF_MANY: Final = 5  # of several people: corrections that happen to agree are rarer
MIN_ECHOES: Final = 10  # liked answers that only repeat what the person had typed
PHRASE_WORDS: Final = (2, 3)
MIN_PHRASE_CHARS: Final = 6
STEM_CHARS: Final = 4  # of a single word that nobody else uses, such as a name: endings change
MIN_ROWS_OF_WORD: Final = 5  # in corrections of one person: single words meet more often
MIN_ROWS_OF_WORD_OF_MANY: Final = 10
MAX_PHRASES: Final = 200  # looked up in what was imported

_PUNCTUATION: Final = string.punctuation + "…·“”‘’「」『』~、。"

PeopleFlags = dict[int, tuple[Flag, ...]]


@dataclass
class _Phrase:
    """Which waiting examples have a phrase that a person brought in."""

    corrections: list[int] = field(default_factory=list)
    echoes: list[int] = field(default_factory=list)
    people: set[str] = field(default_factory=set)

    def is_suspect(self, phrase: str) -> bool:
        """Whether so many rows share it that a person should look."""
        is_one = len(self.people) == 1
        if " " not in phrase:
            enough = MIN_ROWS_OF_WORD if is_one else MIN_ROWS_OF_WORD_OF_MANY
            return len(self.corrections) >= enough
        enough = MIN_ROWS if is_one else MIN_ROWS_OF_MANY
        return len(self.corrections) >= enough or len(self.echoes) >= MIN_ECHOES


def _phrases(text: str) -> set[str]:
    """Runs of two and three words, and the stems of long words: what can be planted in any
    sentence, whatever stands around it.
    """
    found: set[str] = set()
    for line in normalize(text).casefold().splitlines():
        words = [word for word in (part.strip(_PUNCTUATION) for part in line.split()) if word]
        found.update(word[:STEM_CHARS] for word in words if len(word) >= STEM_CHARS)
        for size in PHRASE_WORDS:
            runs = (" ".join(words[at : at + size]) for at in range(len(words) - size + 1))
            found.update(run for run in runs if len(run) >= MIN_PHRASE_CHARS)
    return {phrase for phrase in found if not phrase[0].isdigit()}


def _said_by_the_model(store: Store) -> set[str]:
    """What the model itself says to whoever waits: nobody has to plant that."""
    return {
        phrase
        for example in _waiting(store)
        if example.rejected
        for phrase in _answer_phrases(example.rejected)
    }


def _answer_phrases(completion: str) -> set[str]:
    return _phrases("\n".join(read_fields(completion)))


@cache
def _known_phrases() -> frozenset[str]:
    """What everybody writes: the words of the catalogue and of the themes."""
    known = [*catalog_texts(), *theme_texts()]
    return frozenset(phrase for _, text in known for phrase in _phrases(text))


def _collect_phrases(example: Example, found: defaultdict[str, _Phrase]) -> None:
    """What the person wrote that the model had not; of a liked answer, what they had typed."""
    said = _answer_phrases(example.completion) - _known_phrases()
    if example.rejected:
        brought = said - _answer_phrases(example.rejected)
    else:
        asked = "\n".join(m["content"] for m in example.messages if m["role"] == "user")
        brought = said & _phrases(asked)
    for phrase in brought:
        rows = found[phrase].corrections if example.rejected else found[phrase].echoes
        rows.append(example.example_id)
        found[phrase].people.add(example.person_id)


def _is_imported(store: Store, phrase: str) -> bool:
    """Strangers cannot import: what stands in a file of ours is no plant of theirs."""
    return store.count_examples(ExampleFilter(purpose=None, source="import", query=phrase)) > 0


def _flag_phrases(
    store: Store, found: dict[str, _Phrase], flags: defaultdict[int, list[Flag]]
) -> None:
    suspects = [(phrase, seen) for phrase, seen in found.items() if seen.is_suspect(phrase)]
    suspects.sort(key=lambda s: (-len(s[1].corrections) - len(s[1].echoes), -len(s[0]), s[0]))
    flagged: set[int] = set()
    own = _said_by_the_model(store) if suspects else set()
    for phrase, seen in [s for s in suspects if s[0] not in own][:MAX_PHRASES]:
        ids = {*seen.corrections, *seen.echoes} - flagged
        if not ids or _is_imported(store, phrase):
            continue
        num, people = len(seen.corrections) + len(seen.echoes), len(seen.people)
        evidence = f"{quote(phrase)!r} in {num} answers of {people} people"
        fix = "Exclude them unless you know why: a planted phrase looks like this."
        params: dict[str, str | int] = {"phrase": phrase, "num": num, "people": people}
        for example_id in ids:
            flags[example_id].append(Flag("repeated_phrase", "warning", evidence, fix, params))
        flagged |= ids


def _burst(store: Store, rows: list[tuple[int, int]]) -> set[int]:
    """The examples (id, turn) whose answers came ten within minutes."""
    if len(rows) < BURST_ROWS:
        return set()
    turns = ((example_id, store.get_turn(turn_id)) for example_id, turn_id in rows)
    times = sorted((datetime.fromisoformat(turn.created_at), id_) for id_, turn in turns if turn)
    found: set[int] = set()
    for first in range(len(times) - BURST_ROWS + 1):
        window = times[first : first + BURST_ROWS]
        if window[-1][0] - window[0][0] <= BURST_WITHIN:
            found.update(example_id for _, example_id in window)
    return found


def _waiting(store: Store) -> Iterator[Example]:
    return store.iter_examples(ExampleFilter(state="pending", source="feedback"))


def check_people(store: Store) -> PeopleFlags:
    """Flags of pending feedback examples, by their id."""
    found: defaultdict[str, _Phrase] = defaultdict(_Phrase)
    rows_of: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for example in _waiting(store):
        _collect_phrases(example, found)
        if example.turn_id is not None:
            rows_of[example.person_id].append((example.example_id, example.turn_id))
    flags: defaultdict[int, list[Flag]] = defaultdict(list)
    for rows in rows_of.values():
        ids = _burst(store, rows)
        evidence = f"{len(ids)} rated answers of one person within minutes"
        fix = "Look at this person's rows together before accepting any."
        for example_id in ids:
            flags[example_id].append(Flag("burst", "warning", evidence, fix, {"num": len(ids)}))
    _flag_phrases(store, found, flags)
    return {example_id: tuple(found_flags) for example_id, found_flags in flags.items()}
