import pytest

from chatbot.themes import BaseInfo
from chatbot.ui.chat_state import Chips, changed_info
from feedback_store.records import Conversation

TALK = Conversation(
    conversation_id="c1",
    person_id="p",
    origin="public",
    lang="ko",
    location="beach",
    work_type="remote",
    category="VEGAN",
    first_category="PLOGGING",
)
AS_UNDERSTOOD = Chips("beach", "remote", "VEGAN")


def test_untouched_chips_leave_it_to_the_talk() -> None:
    assert changed_info("더 알려 주세요", AS_UNDERSTOOD, TALK) is None
    assert changed_info("더 알려 주세요", Chips(None, None, None), None) is None


def test_a_changed_chip_counts() -> None:
    changed = Chips("city", "remote", "VEGAN")
    assert changed_info("더 알려 주세요", changed, TALK) == BaseInfo("city", "remote", "VEGAN")


def test_words_still_move_what_was_picked() -> None:
    picked = Chips("city", "remote", "VEGAN")
    assert changed_info("플로깅으로 해 주세요", picked, TALK) == BaseInfo(
        "city", "remote", "PLOGGING"
    )
    assert changed_info("원래대로", picked, TALK) == BaseInfo("city", "remote", "PLOGGING")


@pytest.mark.parametrize(
    ("chips", "expected"),
    [
        (Chips(None, None, "VEGAN"), BaseInfo("city", "office", "VEGAN")),
        (Chips("rural", None, None), BaseInfo("rural", "office", "ZERO_WASTE")),
    ],
)
def test_a_new_conversation_takes_the_picked_ones_and_fills_in_the_rest(
    chips: Chips, expected: BaseInfo
) -> None:
    assert changed_info("추천해 주세요", chips, None) == expected
