from chatbot.ui.failures_view import render_failures
from tests.chatbot.ui.records import EVIL


def test_each_kind_of_failure_shows_the_answers_that_show_it() -> None:
    answers = [{"answer_id": f"a{number}", "prompt": f"question {number}"} for number in range(5)]
    failures = [
        {"metric": "stuffed", "answer_id": f"a{number}", "evidence": f"piece {number}"}
        for number in range(5)
    ]
    failures.append({"metric": "links", "answer_id": "gone", "evidence": EVIL})
    html = render_failures({"answers": answers, "failures": failures}, "en")
    stuffed, links = html.split('data-metric="links"')
    assert "question 0" in stuffed
    assert "piece 2" in stuffed
    assert "piece 3" not in stuffed
    assert "and 2 more" in stuffed
    assert "gone" in links
    assert "<img" not in html


def test_where_nothing_failed_nothing_is_shown() -> None:
    assert render_failures({"answers": [], "failures": []}, "ko") == ""
    assert render_failures({}, "ko") == ""


def test_what_is_wrong_with_an_answer_is_told_in_the_language_of_the_page() -> None:
    answers = [
        {"answer_id": "a1", "prompt": "물음", "text": '{"recommend":"좋아요","challenges":[]}'},
        {"answer_id": "a2", "prompt": "물음", "text": f"{EVIL} no JSON"},
        {"answer_id": "a3", "prompt": "물음", "text": "{}"},
    ]
    failures = [
        {"metric": "valid_json", "answer_id": "a1", "evidence": "0 challenges came; exactly 3"},
        {"metric": "valid_json", "answer_id": "a2", "evidence": "The text is not JSON"},
        {"metric": "category_fit", "answer_id": "a3", "evidence": "ZERO_WASTE → VEGAN: 채식"},
    ]
    html = render_failures({"answers": answers, "failures": failures}, "ko")
    assert "<b>챌린지가 0개예요. 3개여야 해요.</b>" in html
    assert "정해진 형식의 답이 아니에요" in html
    assert "제로웨이스트 → 비건: 채식" in html
    assert "challenges came" not in html
    assert "<img" not in html


def test_only_the_categories_of_a_misfit_are_renamed_and_no_word_of_an_answer() -> None:
    said = "MULTIMEDIA · VEGAN을 MEDIA로"
    failures = [
        {"metric": "category_fit", "answer_id": "a1", "evidence": f"MEDIA → VEGAN: {said}"},
        {"metric": "loop", "answer_id": "a1", "evidence": said},
        {"metric": "loop", "answer_id": "a1", "evidence": f"VEGAN: {said}"},
        {"metric": "parroted", "answer_id": "a1", "evidence": f"VEGAN: {said}"},
        {"metric": "parroted", "answer_id": "a1", "evidence": "MULTIMEDIA: 글"},
    ]
    html = render_failures({"answers": [], "failures": failures}, "ko")
    assert f"<q>문화 공유 → 비건: {said}</q>" in html
    assert f"<q>{said}</q>" in html
    assert f"<q>비건: {said}</q>" in html
    assert f"<q>VEGAN: {said}</q>" in html
    assert "<q>MULTIMEDIA: 글</q>" in html
