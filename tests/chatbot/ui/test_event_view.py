import re
from pathlib import Path

import pytest

from chatbot.ui.event_view import Reader, describe_actor, describe_reason, render_events
from feedback_store.records import AliasEvent
from tests.chatbot.ui.records import EVIL

ME, OTHER = "p_0123456789abcdef", "p_fedcba9876543210"
HANGUL = re.compile("[가-힣]")
ROOT = Path(__file__).parents[3]


def make_event(actor: str = "retrain", reason: str = "passed the gate: Better.") -> AliasEvent:
    return AliasEvent(
        event_id=1,
        alias="production",
        from_version="v0001",
        to_version="v0002",
        actor=actor,
        reason=reason,
        created_at="2026-11-21T05:14:56.123Z",
    )


@pytest.mark.parametrize(
    ("actor", "ko", "en"),
    [
        (ME, "나", "me"),
        (OTHER, "다른 사람 (fedc)", "somebody else (fedc)"),
        ("p_named", "한 관리자", "한 관리자"),
        ("retrain", "자동 학습", "Retrain"),
        ("command line", "명령줄", "Command line"),
    ],
)
def test_people_are_told_as_people_know_them(actor: str, ko: str, en: str) -> None:
    reader = Reader(ME, {"p_named": "한 관리자"})
    assert describe_actor(actor, "ko", reader) == ko
    assert describe_actor(actor, "en", reader).casefold() == en.casefold()


def test_no_list_of_events_shows_the_id_of_a_person() -> None:
    events = [make_event(ME, "promoted by hand"), make_event(OTHER, EVIL)]
    html = render_events(events, "ko", Reader(ME, {}))
    assert "p_" not in html
    assert ">나</span>" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    "reason",
    [
        "passed the gate: Better than production.",
        "rolled back",
        "promoted by hand",
        "promoted by command",
        "trial begun by hand",
        "It is production now.",
        "v0003 answers now instead of v0002; begin a new trial against it.",
        "People like it less (v0003: 1 of 9 conversations liked; v0002: 30 of 36; e = 44).",
    ],
)
def test_what_the_application_wrote_is_in_the_language_of_the_reader(reason: str) -> None:
    for wanted in (reason, f"override: {reason}"):
        assert HANGUL.search(describe_reason(wanted, "ko"))
        assert not re.search("[a-z]{3,} [a-z]{2,}", describe_reason(wanted, "ko"))


def test_a_version_that_was_put_aside_says_so_in_place_of_the_servers_words() -> None:
    html = render_events([make_event("reconcile", "v0002 is not what was trained.")], "ko")
    assert "더는 쓸 수 없는 버전이라" in html
    assert "not what was trained" not in html
