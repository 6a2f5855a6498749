import inspect
import re

import pytest

from chatbot.ui.i18n import TEXTS
from chatbot.ui.verdict_view import (
    describe_reason,
    format_value,
    render_headlines,
    render_metrics_table,
    render_verdict,
    render_verdict_tag,
)
from finetune import gate
from finetune.gate import DEFAULT_LIMITS
from tests.chatbot.ui.records import EVIL

REPORT = {
    "metrics": [
        {"name": "valid_json", "better": "higher", "unit": "share", "value": 0.9, "count": 40,
         "low": 0.8, "high": 0.95},
        {"name": "stuffed", "better": "lower", "unit": "share", "value": 0.1, "count": 40},
        {"name": "latency_p50", "better": "neither", "unit": "ms", "value": 812.4, "count": 40},
    ]
}  # fmt: skip
BEFORE = {
    "metrics": [{**REPORT["metrics"][0], "value": 0.7}, {**REPORT["metrics"][1], "value": 0.0}]
}


def codes_of_the_gate() -> list[str]:
    found = re.findall(r'Reason\(\s*"(\w+)"', inspect.getsource(gate))
    assert "gain" in found
    return sorted(set(found))


@pytest.mark.parametrize("lang", ["ko", "en"])
@pytest.mark.parametrize("code", codes_of_the_gate())
def test_every_reason_of_the_gate_has_a_sentence(code: str, lang: str) -> None:
    assert f"reason_gate_{code}" in TEXTS[lang]


@pytest.mark.parametrize("name", sorted([*DEFAULT_LIMITS, "good_answer", "accepted_likelihood"]))
def test_every_metric_of_the_gate_has_a_name(name: str) -> None:
    assert f"metric_{name}" in TEXTS["ko"]


def test_a_reason_is_told_with_its_figures() -> None:
    reason = {
        "code": "below_limit",
        "message": "english",
        "params": {"metric": "valid_json", "value": 0.6, "limit": 0.8, "count": 40},
    }
    assert describe_reason(reason, "ko") == "형식 지킴: 40개 중 60%예요. 80% 이상이어야 해요."


def test_figures_that_the_gate_has_worded_are_told_so() -> None:
    params = {"metric": "parroted", "value": 3 / 29, "limit": 0.1, "count": 29}
    params["shown"] = {"value": "10.3%", "limit": "10%"}
    reason = {"code": "above_limit", "message": "english", "params": params}
    assert "29개 중 10.3%예요. 10% 이하" in describe_reason(reason, "ko")


def test_an_earlier_verdict_on_too_few_answers_is_told_in_the_readers_language() -> None:
    reason = {"code": "too_few_scored", "message": "Few.", "params": {"count": 5, "needed": 12}}
    assert "예시가 지금의 3배쯤 되면" in describe_reason(reason, "ko")


def test_a_reason_whose_figures_are_missing_keeps_its_english_sentence() -> None:
    assert describe_reason({"code": "gain", "message": "Better.", "params": {}}, "ko") == "Better."
    assert describe_reason({"code": "new", "message": "Something."}, "ko") == "Something."


def test_changes_are_good_or_bad_by_the_direction_of_the_metric() -> None:
    html = render_metrics_table(REPORT, BEFORE, "en")
    assert "eco-change-good" in html.split("Stuffed")[0]
    assert "+20" in html
    assert "eco-change-bad" in html.split("Stuffed")[1]


def test_headlines_show_only_what_was_measured() -> None:
    html = render_headlines(REPORT, None, "en")
    assert 'data-metric="valid_json"' in html
    assert "category_fit" not in html
    assert render_headlines({}, None, "en") == ""


def test_a_missing_figure_is_a_dash() -> None:
    assert format_value(None, "share") == "–"
    assert format_value(0.505, "share") == "50%"
    assert format_value(812.4, "ms") == "812 ms"


def test_an_unknown_outcome_is_never_shown_as_passed() -> None:
    assert "eco-tag-accent" not in render_verdict_tag({"outcome": EVIL}, "ko")
    assert "<img" not in render_verdict_tag({"outcome": EVIL}, "ko")
    assert "<img" not in render_verdict({"reasons": [EVIL]}, "ko")
