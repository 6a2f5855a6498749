import pytest

from chatbot.ui.training_view import format_duration, render_before
from finetune.run_progress import RunEvent, RunProgress
from tests.chatbot.ui.records import EVIL


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (8.4, "8 s"), (95, "about 2 min"), (3599, "about 60 min"), (7260, "2 h 1 min")],
)
def test_times_are_rounded_to_what_one_can_know(seconds: float, text: str) -> None:
    assert format_duration(seconds, "en") == text


def test_an_early_stop_says_why_in_the_readers_language() -> None:
    stop = RunEvent("stopping", "No gain.", "", {"reason": "no_gain"})
    memory = RunEvent("memory", "", "", {"choice": "smaller_batch"})
    run = RunProgress("r1", "running", events=(memory, stop))
    assert "일찍 멈췄어요" in render_before(run, "ko")
    assert "Stopped early" in render_before(run, "en")


@pytest.mark.parametrize("code", ["not_a_number", "diverged", "plateau"])
def test_an_end_without_a_result_says_why_while_it_still_runs(code: str) -> None:
    stop = RunEvent("stopping", "In English.", "", {"reason": code})
    html = render_before(
        RunProgress("r1", "running", events=(RunEvent("memory", "", "", {"choice": "fits"}), stop)),
        "ko",
    )
    assert "멈췄어요" in html
    assert "In English" not in html


def test_unknown_codes_keep_their_own_sentence_and_cannot_inject_anything() -> None:
    reason = RunEvent("reason", EVIL, "", {"code": "new"})
    finding = {"code": "new", "message": EVIL, "cure": "Do it."}
    preflight = RunEvent("preflight", "", "", {"figures": {}, "findings": [finding]})
    html = render_before(RunProgress("r1", "running", events=(reason, preflight)), "en")
    assert html.count("&lt;img") == 2
    assert "<img" not in html
