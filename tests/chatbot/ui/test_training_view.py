import math
from dataclasses import asdict
from html import unescape

import pytest

from chatbot.ui.i18n import translate_error
from chatbot.ui.training_view import format_duration, render_before
from finetune.preflight import (
    Course,
    EncodedRow,
    Finding,
    TokenizerFacts,
    check_answers,
    check_course,
    check_rows,
)
from finetune.run_progress import RunEvent, RunProgress
from finetune.watch import Sampled, StopReason, Watch, WatchLimits
from tests.chatbot.ui.records import EVIL


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (8.4, "8 s"), (95, "about 2 min"), (3599, "about 60 min"), (7260, "2 h 1 min")],
)
def test_times_are_rounded_to_what_one_can_know(seconds: float, text: str) -> None:
    assert format_duration(seconds, "en") == text


def stop_reasons() -> dict[str, StopReason]:
    """One of each, as the watch gives them."""
    answers = {"A": frozenset({"a"})}
    limits = WatchLimits(warmup_steps=4)
    rising, stuck, learnt, heart = (Watch(limits, answers) for _ in range(4))
    found = [rising.see_loss(step, 1.0 + step) for step in range(1, 20)]
    stuck.see_evaluation(0, 4.70)
    found += [stuck.see_evaluation(step, 4.65) for step in (50, 100)]
    found += [learnt.see_evaluation(step, 1.0) for step in (0, 10, 20, 30, 40)]
    heart.see_loss(1, 0.1)
    found += [heart.see_evaluation(step, 1.0 + step / 50) for step in (10, 20, 30)]
    found.append(heart.see_samples(40, [Sampled(prompt, "A", "B") for prompt in "xyz"]))
    found += [heart.see_loss(41, math.nan), heart.see_evaluation(42, math.nan)]
    return {reason.code: reason for reason in found if reason}


def render_stop(reason: StopReason, lang: str, **without: object) -> str:
    values = {"reason": reason.code, "figures": dict(reason.values), **without}
    memory = RunEvent("memory", "", "", {"choice": "fits"})
    stop = RunEvent("stopping", reason.message, "", values)
    return render_before(RunProgress("r1", "running", events=(memory, stop)), lang)


@pytest.mark.parametrize(
    "code", ["diverged", "memorised", "no_gain", "not_a_number", "parroting", "plateau"]
)
def test_an_early_stop_says_why_with_its_figures(code: str) -> None:
    reason = stop_reasons()[code]
    korean = render_stop(reason, "ko")
    assert "멈췄어요" in korean
    assert "{" not in korean
    assert all(value in korean for value in reason.values.values())
    assert "topped" in render_stop(reason, "en")
    assert "{" not in render_stop(reason, "en")


@pytest.mark.parametrize("code", ["no_gain", "plateau"])
def test_a_stop_that_was_noted_without_figures_keeps_its_sentence(code: str) -> None:
    reason = stop_reasons()[code]
    assert reason.message in unescape(render_stop(reason, "ko", figures=None))


def test_unknown_codes_keep_their_own_sentence_and_cannot_inject_anything() -> None:
    reason = RunEvent("reason", EVIL, "", {"code": "new"})
    finding = {"code": "new", "message": EVIL, "cure": "Do it."}
    preflight = RunEvent("preflight", "", "", {"figures": {}, "findings": [finding]})
    html = render_before(RunProgress("r1", "running", events=(reason, preflight)), "en")
    assert html.count("&lt;img") == 2
    assert "<img" not in html


FACTS = TokenizerFacts(10, 0, "<pad>", 2, "</s>", frozenset({2}), True, True)
EMPTY = EncodedRow((1, 2, 3), (-100, -100, -100), (1, 2))


@pytest.mark.parametrize(
    "finding",
    [
        *check_answers(["no", "{}"]),
        *check_answers(["글이에요", "{}"], "text"),
        *check_course(Course(27, 50.0, 140, num_left_out=2)),
        *check_course(Course(99, 3.0, 70, num_left_out=30, longest_row=9, max_length=8)),
        *check_rows([EMPTY], FACTS),
    ],
    ids=lambda finding: finding.code,
)
def test_what_the_preflight_finds_is_told_with_its_figures(finding: Finding) -> None:
    """A warning on the page, a refusal as the end of the training."""
    if finding.severity == "refuse":
        text = translate_error("ko", finding.code, finding.message, finding.values)
    else:
        values = {"figures": {}, "findings": [asdict(finding)]}
        reason = RunEvent("reason", "", "", {"code": "new"})
        events = (reason, RunEvent("preflight", "", "", values))
        text = unescape(render_before(RunProgress("r1", "running", events=events), "ko"))
    assert finding.values
    assert all(value in text for value in finding.values.values())
    assert finding.message not in text
