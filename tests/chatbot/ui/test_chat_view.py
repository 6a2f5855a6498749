import re
from typing import Any

import pytest

from chatbot.recommendation import canonical, to_dict
from chatbot.service import TurnRequest
from chatbot.themes import BaseInfo
from chatbot.ui.chat_view import (
    ChatView,
    TalksView,
    describe_end,
    render_chips_bar,
    render_live,
    render_talks,
    render_transcript,
    render_unsaved,
)
from chatbot.ui.live import LiveAnswer
from feedback_store.records import Conversation
from tests.chatbot.ui.records import ANSWER, EVIL, make_feedback, make_turn


def make_request(**values: object) -> TurnRequest:
    usual = {
        "person_id": "p",
        "origin": "public",
        "lang": "ko",
        "mode": "free_text",
        "text": "안녕",
    }
    return TurnRequest(**{**usual, **values})  # type: ignore[arg-type]


def make_talk(**values: Any) -> Conversation:
    usual: dict[str, Any] = {
        "conversation_id": "c1",
        "person_id": "p",
        "origin": "public",
        "lang": "ko",
        "location": "city",
        "work_type": "office",
        "category": "VEGAN",
        "first_category": "VEGAN",
        "updated_at": "2026-11-21T05:14:56.123Z",
    }
    return Conversation(**{**usual, **values})


def test_an_empty_conversation_is_the_first_screen_with_questions() -> None:
    html = render_transcript(ChatView("ko"))
    assert html.count('data-action="ask"') == 4
    assert 'data-conversation=""' in html


def test_the_latest_answer_has_the_plain_ids_and_earlier_ones_carry_their_turn() -> None:
    turns = [make_turn(turn_id=7), make_turn(turn_id=8)]
    html = render_transcript(ChatView("ko", "c1", turns))
    assert 'id="thumb-up"' in html
    assert 'id="thumb-up-7"' in html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_words_of_people_are_escaped_everywhere() -> None:
    turn = make_turn(user_text=EVIL, adapter=EVIL, base_model=EVIL)
    view = ChatView("ko", EVIL, [turn], notes={EVIL: EVIL})
    assert "<img" not in render_transcript(view)


def test_a_pressed_thumb_says_so() -> None:
    view = ChatView("ko", "c1", [make_turn()], {7: make_feedback(rating="dislike")})
    html = render_transcript(view)
    assert re.search(r'id="thumb-down"[^>]*aria-pressed="true"', html)
    assert re.search(r'id="thumb-up"[^>]*aria-pressed="false"', html)


def test_a_correction_is_shown_in_place_of_the_answer() -> None:
    better = to_dict(ANSWER) | {"recommend": "이렇게 해 봐요."}
    view = ChatView("ko", "c1", [make_turn()], {7: make_feedback(correction=better)})
    html = render_transcript(view)
    assert "이렇게 해 봐요." in html
    assert "가볍게 시작해 봐요." not in html


def test_a_cut_answer_keeps_what_came_and_says_so_with_a_retry() -> None:
    cut = canonical(ANSWER)[:150]
    turn = make_turn(raw_text=cut, recommendation=None, status="truncated")
    html = render_transcript(ChatView("ko", "c1", [turn]))
    assert "가볍게 시작해 봐요." in html
    assert "끊겼어요" in html
    assert 'id="retry"' in html
    assert 'id="thumb-up"' not in html
    text = re.sub(r"<[^>]+>", "", html)
    assert "{" not in text
    assert '"' not in text


def test_a_retried_answer_is_folded_away() -> None:
    turns = [make_turn(turn_id=7), make_turn(turn_id=8, retry_of=7)]
    html = render_transcript(ChatView("ko", "c1", turns))
    assert html.count("eco-earlier") == 1
    assert html.count("쓰레기를 줄이고 싶어요</div>") == 1


def test_the_version_that_spoke_and_what_is_new_in_it_are_there() -> None:
    view = ChatView("en", "c1", [make_turn(adapter="v0002")], notes={"v0002": "Learned a lot"})
    html = render_transcript(view)
    assert 'data-version="v0002"' in html
    assert "Learned a lot" in html


def test_the_reason_panel_asks_for_consent_only_where_it_is_needed() -> None:
    common = {"turns": [make_turn()], "feedback": {7: make_feedback()}, "panel": 7}
    public = render_transcript(ChatView("ko", "c1", asks_consent=True, **common))  # type: ignore[arg-type]
    studio = render_transcript(ChatView("ko", "c1", **common))  # type: ignore[arg-type]
    assert 'id="consent-train"' in public
    assert "checked" not in public
    assert 'id="consent-train"' not in studio


def test_an_answer_on_its_way_shows_the_question_and_how_far_it_is() -> None:
    live = LiveAnswer(make_request(text=EVIL), phase="warming")
    html = render_live(live, "ko")
    assert "모델을 준비하고 있어요" in html
    assert "<img" not in html
    live.phase = "asleep"
    assert "학습이 끝나면 바로 답할게요" in render_live(live, "ko")
    live.phase, live.recommend = "writing", "가볍게"
    assert "가볍게" in render_live(live, "ko")


def test_the_chips_say_what_was_understood() -> None:
    html = render_chips_bar(BaseInfo("beach", "remote", "VEGAN"), "ko", is_open=False)
    assert ">바닷가<" in html
    assert 'aria-expanded="false"' in html


def test_earlier_conversations_are_escaped_and_the_open_one_is_marked() -> None:
    html = render_talks(TalksView("ko", [make_talk(title=EVIL)], "c1"))
    assert "<img" not in html
    assert 'aria-current="true"' in html
    assert "찾는 말" in render_talks(TalksView("ko", query="없는 말"))


def test_older_conversations_are_one_press_away() -> None:
    html = render_talks(TalksView("ko", [make_talk()], query=EVIL, has_more=True))
    assert 'id="talks-more"' in html
    assert "<img" not in html
    assert "talks-more" not in render_talks(TalksView("ko", [make_talk()]))


def test_a_conversation_whose_first_answer_is_being_written_stands_above_the_others() -> None:
    writing = {"c2": EVIL, "c1": "또 물어봐요"}
    html = render_talks(TalksView("ko", [make_talk(title="처음 질문")], writing=writing))
    assert re.findall(r'data-id="(\w+)"', html) == ["c2", "c1"]
    assert html.count("답하는 중") == 2
    assert "<img" not in html
    assert "또 물어봐요" not in html


@pytest.mark.parametrize(
    ("turn", "error", "sentence"),
    [
        ({}, None, "답변이 완성됐어요."),
        ({"recommendation": None}, None, "답을 읽을 수 없어요"),
        ({"status": "truncated"}, ("truncated", "cut"), "중간에 끊겼어요"),
        ({"status": "failed"}, ("timed_out", "late"), "답을 만들지 못했어요"),
        (None, ("stopped", "stopped"), "답을 멈췄어요."),
        (None, ("too_fast", "10 questions"), "잠시 뒤"),
        (None, ("never_heard_of", "/srv/data is broken"), "예상하지 못한 문제"),
    ],
)
def test_what_is_announced_is_what_happened(
    turn: dict[str, Any] | None, error: tuple[str, str] | None, sentence: str
) -> None:
    live = LiveAnswer(make_request(), phase="done", error=error)
    live.turn = None if turn is None else make_turn(**turn)
    assert sentence in describe_end(live, "ko")


TEXT_TURN = {"raw_text": f"안녕하세요!\n{EVIL}", "recommendation": None}


def test_where_answers_are_free_text_nothing_speaks_of_challenges() -> None:
    for lang, words in (("ko", ("챌린지", "추천", "조건")), ("en", ("challenge", "recommend"))):
        turns = [make_turn(**TEXT_TURN), make_turn(turn_id=8, status="truncated", **TEXT_TURN)]
        feedback = {7: make_feedback(rating="dislike")}
        view = ChatView(lang, "c1", turns, feedback, panel=7, is_text=True)
        live = LiveAnswer(make_request(), is_text=True)
        html = render_transcript(ChatView(lang, is_text=True)) + render_transcript(view)
        html += render_live(live, lang)
        live.phase, live.recommend = "writing", "안녕"
        html += render_live(live, lang)
        shown = re.sub(r"<[^>]*>", " ", html).lower()
        assert [word for word in words if word in shown] == []
        assert "eco-card" not in html
        assert 'data-action="ask"' not in html


def test_an_answer_in_free_text_is_whole_rated_and_copied_as_it_is() -> None:
    html = render_transcript(ChatView("ko", "c1", [make_turn(**TEXT_TURN)], is_text=True))
    assert "안녕하세요!<br>" in html
    assert "<img" not in html
    assert "eco-notice" not in html
    assert 'id="thumb-up"' in html
    assert 'data-copy="안녕하세요!' in html
    assert "edit-open" not in html  # there are no fields to correct
    live = LiveAnswer(make_request(), is_text=True, turn=make_turn(**TEXT_TURN))
    assert describe_end(live, "ko") == "답변이 완성됐어요."


def test_a_question_that_is_kept_nowhere_can_go_back_into_the_box() -> None:
    error = ("stopped", "The answer was stopped.")
    html = render_unsaved(LiveAnswer(make_request(text=EVIL), error=error), "ko")
    assert 'data-restore="' in html
    assert "<img" not in html
    again = render_unsaved(LiveAnswer(make_request(retry_of=7), error=error), "ko")
    assert "data-restore" not in again
    assert "eco-said" not in again
