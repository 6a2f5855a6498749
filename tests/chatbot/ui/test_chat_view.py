import re

from chatbot.recommendation import canonical, to_dict
from chatbot.service import TurnRequest
from chatbot.themes import BaseInfo
from chatbot.ui.chat_view import (
    ChatView,
    render_chips_bar,
    render_conversations,
    render_live,
    render_transcript,
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


def test_an_error_on_the_way_is_a_sentence_in_the_language_of_the_page() -> None:
    live = LiveAnswer(make_request(), error=("engine_not_ready", "The engine is not ready."))
    assert "모델이 아직 준비되지 않았어요" in render_live(live, "ko")


def test_the_chips_say_what_was_understood() -> None:
    html = render_chips_bar(BaseInfo("beach", "remote", "VEGAN"), "ko", is_open=False)
    assert ">바닷가<" in html
    assert 'aria-expanded="false"' in html


def test_earlier_conversations_are_escaped_and_the_open_one_is_marked() -> None:
    talk = Conversation(
        conversation_id="c1",
        person_id="p",
        origin="public",
        lang="ko",
        title=EVIL,
        location="city",
        work_type="office",
        category="VEGAN",
        first_category="VEGAN",
        updated_at="2026-11-21T05:14:56.123Z",
    )
    html = render_conversations([talk], "c1", "", "ko")
    assert "<img" not in html
    assert 'aria-current="true"' in html
    assert "찾는 말" in render_conversations([], "", "없는 말", "ko")
