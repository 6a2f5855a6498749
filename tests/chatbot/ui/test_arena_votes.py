from dataclasses import replace

import pytest

from chatbot.recommendation import Recommendation, canonical
from chatbot.service import Finished, TurnRequest
from chatbot.ui.arena_votes import Standing, Vote, count_votes, record_vote
from feedback_store.records import ExampleFilter, Turn
from feedback_store.store import Store
from finetune.curate import collect_feedback
from tests.chatbot.conftest import MakeService
from tests.chatbot.ui.records import ANSWER
from tests.scripted_engine import Script

OTHER = Recommendation("다르게 해 봐요.", tuple(reversed(ANSWER.challenges)))


async def play(make_service: MakeService, vote: Vote) -> tuple[Turn, Turn]:
    """One round between v0001 (left) and the base (right), and its vote."""
    chat = make_service(Script(canonical(ANSWER)), Script(canonical(OTHER)))
    request = TurnRequest(
        person_id="p", origin="studio", lang="ko", mode="free_text", text="추천해 주세요"
    )
    turns = []
    for adapter in ("v0001", ""):
        asked = replace(request, adapter=adapter)
        if turns:
            asked = replace(
                asked,
                retry_of=turns[0].turn_id,
                conversation_id=turns[0].conversation_id,
                is_alongside=True,
            )
        async for event in chat.answer(asked):
            if isinstance(event, Finished):
                turns.append(event.turn)
    record_vote(chat, "p", vote, turns[0], turns[1])
    return turns[0], turns[1]


async def test_a_win_becomes_a_preference_pair(make_service: MakeService, store: Store) -> None:
    winner, loser = await play(make_service, "left")
    collect_feedback(store)
    pairs = [e for e in store.find_examples(ExampleFilter(purpose=None)).items if e.rejected]
    assert [(pair.completion, pair.rejected) for pair in pairs] == [
        (canonical(ANSWER), canonical(OTHER))
    ]
    assert pairs[0].turn_id == loser.turn_id
    assert winner.adapter == "v0001"


@pytest.mark.parametrize(
    ("vote", "expected"),
    [
        ("left", [("v0001", 1, 0, 0), ("", 0, 1, 0)]),
        ("right", [("", 1, 0, 0), ("v0001", 0, 1, 0)]),
        ("both", [("", 0, 0, 1), ("v0001", 0, 0, 1)]),
        ("neither", [("", 0, 0, 1), ("v0001", 0, 0, 1)]),
    ],
)
async def test_every_vote_is_counted_for_both(
    make_service: MakeService, store: Store, vote: Vote, expected: list[tuple[str, int, int, int]]
) -> None:
    await play(make_service, vote)
    standings = count_votes(store.read_view("reasons_by_adapter"))
    assert [(s.version, s.num_wins, s.num_losses, s.num_ties) for s in standings] == expected


async def test_neither_makes_no_training_example(make_service: MakeService, store: Store) -> None:
    await play(make_service, "neither")
    collect_feedback(store)
    assert store.count_examples(ExampleFilter(purpose="train")) == 0


def test_win_rates_have_wide_intervals_while_votes_are_few() -> None:
    rows = [{"adapter": "v2", "reason": "arena_win:v1", "rating": "like", "num_feedback": 3}]
    first, second = count_votes(rows)
    assert (first.version, first.win_rate) == ("v2", 1.0)
    assert 0.4 < first.low < 0.5
    assert (second.version, second.win_rate) == ("v1", 0.0)


def test_reasons_of_the_chat_are_no_votes() -> None:
    rows = [{"adapter": "v2", "reason": "doable", "rating": "like", "num_feedback": 3}]
    assert count_votes(rows) == []


def test_without_decided_votes_there_is_no_win_rate() -> None:
    assert Standing("v1", 0, 0, 4).win_rate is None
