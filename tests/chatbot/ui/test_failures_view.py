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
