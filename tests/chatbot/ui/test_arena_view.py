from dataclasses import replace

import pytest

from chatbot.service import TurnRequest
from chatbot.ui.arena_view import ArenaView, Side, render_below, render_round
from chatbot.ui.arena_votes import Standing
from chatbot.ui.live import LiveAnswer
from feedback_store.records import TurnStatus
from tests.chatbot.ui.records import EVIL, make_turn

LEFT = Side(turn=make_turn(turn_id=1, adapter="v0001"))
RIGHT = Side(turn=make_turn(turn_id=2, adapter="v0002"))


def test_the_names_are_hidden_until_the_vote() -> None:
    before = render_round(ArenaView("ko", "질문", LEFT, RIGHT))
    assert "v0001" not in before
    assert "v0002" not in before
    assert before.count('data-action="vote"') == 4
    after = render_round(ArenaView("ko", "질문", LEFT, RIGHT, vote="left"))
    assert "v0001" in after
    assert 'data-action="vote"' not in after


def test_there_is_no_vote_before_both_have_answered() -> None:
    assert "arena-vote" not in render_round(ArenaView("ko", "질문", LEFT, Side()))


def test_a_broken_answer_cannot_be_voted_on() -> None:
    cut = Side(turn=make_turn(status="truncated", recommendation=None))
    html = render_round(ArenaView("ko", "질문", LEFT, cut))
    assert "arena-vote" not in html
    assert "끊겼어요" in html


@pytest.mark.parametrize(
    ("status", "is_text"),
    [
        ("truncated", False),
        ("truncated", True),
        ("failed", False),
        ("failed", True),
        ("ok", False),  # one that nobody could read
    ],
)
def test_a_broken_answer_names_no_button_that_only_the_chat_has(
    status: TurnStatus, is_text: bool
) -> None:
    cut = Side(turn=make_turn(status=status, recommendation=None))
    html = render_round(ArenaView("ko", "질문", LEFT, cut, is_text=is_text))
    assert "다시 물어봐 주세요" in html
    assert "눌러" not in html


def test_answers_in_free_text_are_compared_as_they_are() -> None:
    sides = [Side(turn=make_turn(turn_id=n, raw_text=EVIL, recommendation=None)) for n in (1, 2)]
    html = render_round(ArenaView("ko", "질문", *sides, is_text=True))
    assert html.count('data-action="vote"') == 4
    assert "eco-notice" not in html
    assert "<img" not in html


def test_a_refused_answer_says_why_at_its_side_and_nothing_waits() -> None:
    request = TurnRequest(person_id="p", origin="public", lang="ko", mode="free_text", text=EVIL)
    refused = Side(LiveAnswer(request, phase="done", error=("unknown_adapter", "There is no v1.")))
    html = render_round(ArenaView("ko", "질문", LEFT, refused, is_over=True))
    assert "이 버전은 지금 쓸 수 없어요" in html
    assert "eco-waiting" not in html
    assert "arena-vote" not in html
    assert "data-restore" not in html  # the first answer is stored, with the question


def test_a_question_that_nobody_answered_goes_back_into_the_box() -> None:
    request = TurnRequest(person_id="p", origin="public", lang="ko", mode="free_text", text=EVIL)
    refused = Side(LiveAnswer(request, phase="done", error=("too_fast", "10 in a minute")))
    html = render_round(ArenaView("ko", EVIL, refused, is_over=True))
    assert 'data-restore="' in html
    assert "<img" not in html
    assert "eco-waiting" not in html
    assert "묻지 않았어요" in html


def test_standings_name_the_base_model_below_a_round_of_its_own() -> None:
    view = ArenaView("ko", EVIL, LEFT, RIGHT, standings=(Standing("", 3, 1, 2),))
    assert "<img" not in render_round(view)
    html = render_below(view)
    assert "75%" in html
    assert "기본 모델" in html
    assert "arena-empty" not in html
    assert "arena-empty" in render_below(replace(view, question=""))
    assert not render_round(replace(view, question=""))
