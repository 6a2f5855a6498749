"""A store in which every text that anybody may write is an attempt to run or fetch something."""

from __future__ import annotations

from itertools import cycle, islice

from chatbot.recommendation import Challenge, Recommendation, canonical, to_dict
from feedback_store.records import Conversation, NewFeedback, NewTurn
from feedback_store.store import Store
from tests.chatbot.ui.payloads import FORMULAS, XSS

PERSON = "p_payload"
PER_TALK = 17
ALL = (*XSS, *FORMULAS)


def make_planted_answer(number: int) -> Recommendation:
    """An answer of five payloads."""
    first, *rest = islice(cycle(ALL), number, number + 7)
    pairs = list(zip(rest[0::2], rest[1::2], strict=True))
    return Recommendation(first[:300], tuple(Challenge(a[:60], b[:200]) for a, b in pairs))


def plant_content(store: Store) -> None:
    """Talks, feedback, examples, events of versions and the audit log."""
    for number, payload in enumerate(ALL):
        talk = f"c-payload-{number // PER_TALK}"
        if number % PER_TALK == 0:
            _add_talk(store, talk, payload)
        answer = make_planted_answer(number)
        turn = store.add_turn(
            NewTurn(
                conversation_id=talk, mode="free_text", user_text=payload, location="city",
                work_type="office", category="VEGAN",
                messages=({"role": "user", "content": payload},), raw_text=canonical(answer),
                recommendation=to_dict(answer), status="ok", base_model=payload[:100],
                prompt_hash="h", duration_ms=900.0, time_to_first_token_ms=90.0,
            )
        )  # fmt: skip
        better = make_planted_answer(number + 3) if number % 3 == 0 else None
        store.set_feedback(
            NewFeedback(
                turn_id=turn.turn_id, person_id=PERSON, comment=payload,
                rating="like" if number % 2 else "dislike", reasons=(payload[:80],),
                correction=to_dict(better) if better else None,
            )
        )  # fmt: skip
        store.record(PERSON, "login", payload, name=payload[:40])
        if number < 20:
            store.set_alias("production", None, actor=payload[:60], reason=payload)


def _add_talk(store: Store, conversation_id: str, title: str) -> None:
    store.add_conversation(
        Conversation(
            conversation_id=conversation_id, person_id=PERSON, origin="public", lang="ko",
            title=title, location="city", work_type="office", category="VEGAN",
            first_category="VEGAN", may_train=True,
        )
    )  # fmt: skip
