from typing import Any

import pytest

from chatbot.ui.event_view import NOBODY
from chatbot.ui.log_view import render_csv, render_log
from feedback_store.records import AuditEntry
from tests.chatbot.ui.records import EVIL


def make_entry(action: str = "accept", target: str = "example 1", **detail: Any) -> AuditEntry:
    at = "2026-11-21T05:14:56.123Z"
    return AuditEntry(
        entry_id=7,
        actor="p_0123456789abcdef",
        action=action,
        target=target,
        detail=detail,
        created_at=at,
    )


@pytest.mark.parametrize(
    ("entry", "korean"),
    [
        (make_entry("accept", "example 12"), "예시 #12"),
        (make_entry("exclude", "40 examples", ids=[1, 2]), "예시 40개"),
        (make_entry("export log", "3 entries"), "기록 3개"),
        (make_entry("freeze dataset", "a1b2"), "데이터셋 고정"),
        (make_entry("export dataset", "a1b2"), "데이터셋 내보내기"),
        (make_entry("import", "team.jsonl", what="5 examples"), "예시 5개"),
        (make_entry("promote", "base model", reason="rolled back"), "기본 모델"),
        (make_entry("promote", "v0002", reason="passed the gate: Better."), "판정을 통과해"),
        (make_entry("login", "", role="curator", name="admin"), "큐레이터 · admin"),
        (make_entry("refused", "needs an admin"), "관리자만"),
        (make_entry("retrain", "goes on with run-7"), "run-7 이어서"),
    ],
)
def test_what_the_application_wrote_is_in_the_language_of_the_reader(
    entry: AuditEntry, korean: str
) -> None:
    html = render_log([entry], NOBODY, "ko", "", has_more=False)
    assert korean in html
    for english in ("example", "entries", "base model", "needs an admin", "passed the gate"):
        assert english not in html.replace("data-action-name", "").split("<td>", 1)[1]


def test_what_people_wrote_stays_and_is_escaped() -> None:
    html = render_log([make_entry("import", EVIL, what=EVIL)], NOBODY, "ko", "", has_more=True)
    assert "<img" not in html
    assert "다른 사람 (0123)" in html
    assert "example 1" in render_csv([make_entry()], {})  # the file keeps what was written
