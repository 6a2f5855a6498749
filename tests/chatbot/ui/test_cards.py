from chatbot.recommendation import Challenge, Recommendation
from chatbot.ui.cards import option_label, render_answer, render_info, render_recommendation
from tests.chatbot.ui.records import ANSWER, EVIL


def test_a_whole_answer_has_its_sentence_and_three_cards() -> None:
    html = render_recommendation(ANSWER, "7")
    assert "가볍게 시작해 봐요." in html
    assert [f'id="card-7-{n}"' in html for n in (1, 2, 3)] == [True] * 3
    assert "eco-caret" not in html


def test_what_a_model_wrote_is_escaped() -> None:
    challenge = Challenge(EVIL, EVIL)
    html = render_recommendation(Recommendation(EVIL, (challenge,) * 3), "7")
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") == 7


def test_an_answer_on_its_way_keeps_places_for_the_cards_to_come() -> None:
    html = render_answer("가볍게", ANSWER.challenges[:1], "live", is_writing=True)
    assert html.count("eco-card-waiting") == 2
    assert 'id="card-live-1"' in html


def test_a_caret_stands_at_the_end_of_the_sentence_until_the_first_card() -> None:
    assert "eco-caret" in render_answer("가볍게", (), "live", is_writing=True)
    assert "eco-caret" not in render_answer("가", ANSWER.challenges[:1], "live", is_writing=True)


def test_line_breaks_of_the_sentence_are_real() -> None:
    assert "하나<br>둘" in render_answer("하나\n둘", (), "live")


def test_choices_are_named_in_the_language_of_the_page() -> None:
    assert ">도시<" in render_info("city", "office", "VEGAN", "ko")
    assert ">City<" in render_info("city", "office", "VEGAN", "en")
    assert option_label("work_type", "remote", "en") == "Remote"
