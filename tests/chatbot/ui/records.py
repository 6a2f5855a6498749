"""Records to draw, with usual values for whatever a test does not name."""

from typing import Any

from chatbot.recommendation import Challenge, Recommendation, canonical, to_dict
from feedback_store.records import Example, Feedback, Turn

ANSWER = Recommendation(
    "가볍게 시작해 봐요.",
    (
        Challenge("텀블러 챙기기", "카페에 갈 때 텀블러를 챙겨요."),
        Challenge("장바구니 접기", "가방에 장바구니를 넣어 다녀요."),
        Challenge("영수증 거절", "종이 영수증을 받지 않아요."),
    ),
)
EVIL = "<img src=x onerror=alert(1)>\"'&{{7*7}}${7*7}"


def make_turn(**values: Any) -> Turn:
    usual: dict[str, Any] = {
        "conversation_id": "c1",
        "mode": "free_text",
        "user_text": "쓰레기를 줄이고 싶어요",
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
        "messages": ({"role": "user", "content": "쓰레기를 줄이고 싶어요"},),
        "raw_text": canonical(ANSWER),
        "recommendation": to_dict(ANSWER),
        "status": "ok",
        "base_model": "starter",
        "prompt_hash": "h",
        "turn_id": 7,
        "position": 1,
        "created_at": "2026-11-21T05:14:56.123Z",
    }
    return Turn(**{**usual, **values})


def make_feedback(**values: Any) -> Feedback:
    usual: dict[str, Any] = {
        "turn_id": 7,
        "person_id": "p_1",
        "rating": "like",
        "feedback_id": 1,
        "is_current": True,
        "created_at": "2026-11-21T05:15:00.000Z",
    }
    return Feedback(**{**usual, **values})


def make_example(**values: Any) -> Example:
    usual: dict[str, Any] = {
        "source": "feedback",
        "messages": (
            {"role": "system", "content": "system"},
            {"role": "user", "content": "쓰레기를 줄이고 싶어요\n\n위치: 도시"},
        ),
        "completion": canonical(ANSWER),
        "original_text": canonical(ANSWER),
        "conversation_id": "c1",
        "person_id": "p_1",
        "lang": "ko",
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
        "example_id": 3,
        "state": "pending",
        "decided_by": None,
        "decided_at": None,
        "created_at": "2026-11-21T05:15:00.000Z",
    }
    return Example(**{**usual, **values})
