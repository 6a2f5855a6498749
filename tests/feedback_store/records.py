"""Records with sensible values, for tests to change what they are about."""

from __future__ import annotations

from typing import Any

from feedback_store.records import Adapter, Conversation, Dataset, NewExample, NewTurn, Run

RECOMMENDATION = {
    "recommend": "오늘은 쓰레기를 줄여 보세요.",
    "challenges": [
        {"title": "텀블러 쓰기", "description": "카페에 텀블러를 가져갑니다."},
        {"title": "장바구니", "description": "Bring a reusable bag."},
        {"title": "리필", "description": "세제를 리필합니다."},
    ],
}


def conversation(
    conversation_id: str = "c1", person_id: str = "ann", **changes: Any
) -> Conversation:
    values: dict[str, Any] = {
        "origin": "public",
        "lang": "ko",
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
        "first_category": "ZERO_WASTE",
    }
    return Conversation(conversation_id=conversation_id, person_id=person_id, **(values | changes))


def turn(conversation_id: str = "c1", user_text: str = "추천해 주세요", **changes: Any) -> NewTurn:
    values: dict[str, Any] = {
        "mode": "free_text",
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
        "messages": ({"role": "user", "content": user_text},),
        "raw_text": "{}",
        "recommendation": RECOMMENDATION,
        "status": "ok",
        "base_model": "starter",
        "prompt_hash": "0123456789abcdef",
        "sampling": {"temperature": 0.7},
        "finish_reason": "stop",
        "duration_ms": 812.5,
        "time_to_first_token_ms": 95.0,
        "prompt_tokens": 120,
        "completion_tokens": 90,
    }
    return NewTurn(conversation_id=conversation_id, user_text=user_text, **(values | changes))


def example(asked: str = "추천해 주세요", **changes: Any) -> NewExample:
    values: dict[str, Any] = {
        "source": "import",
        "messages": ({"role": "user", "content": asked},),
        "completion": '{"recommend":"쓰레기를 줄여요","challenges":[]}',
        "original_text": "raw",
        "conversation_id": "c1",
        "person_id": "ann",
        "lang": "ko",
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
    }
    return NewExample(**(values | changes))


def flag(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "warning", "evidence": "…", "fix": ""}


def dataset(dataset_id: str = "d1", **changes: Any) -> Dataset:
    values: dict[str, Any] = {"path": f"datasets/{dataset_id}", "num_train": 1, "num_validation": 0}
    return Dataset(dataset_id=dataset_id, **(values | changes))


def run(run_id: str = "r1", dataset_id: str = "d1", **changes: Any) -> Run:
    values: dict[str, Any] = {
        "kind": "sft",
        "state": "queued",
        "base_model": "starter",
        "recipe": {"r": 8},
    }
    return Run(run_id=run_id, dataset_id=dataset_id, **(values | changes))


def adapter(version: str = "v0001", **changes: Any) -> Adapter:
    values: dict[str, Any] = {
        "run_id": None,
        "dataset_id": None,
        "base_model": "starter",
        "path": f"adapters/{version}",
    }
    return Adapter(version=version, **(values | changes))
