from typing import Any

import pytest

from chatbot.ui.curate_flags import describe_evidence, describe_refusal, render_flags
from tests.chatbot.ui.records import EVIL, make_example


def flag(name: str, evidence: str = "seen", **params: Any) -> dict[str, Any]:
    kept = {"name": name, "severity": "warning", "evidence": evidence, "fix": "Do this."}
    return {**kept, "params": params} if params else kept


def draw(*flags: dict[str, Any], has_suggestion: bool = False, lang: str = "ko") -> str:
    return render_flags(make_example(flags=flags), lang, has_suggestion=has_suggestion)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (flag("near_duplicate", other=12), "<b>#12 예시와 거의 같아요.</b>"),
        (flag("off_category", category="VEGAN"), "<b>‘비건’ 주제로 읽혀요.</b>"),
        (flag("too_many_tokens", num=1300, limit=1024), "1,300토큰이에요. 한도는 1,024토큰"),
        (flag("personal_data", kind="phone", where="prompt"), "질문에 전화번호 같은 것이"),
        (flag("loop", "네 네 네"), "<q>네 네 네</q>"),
    ],
)
def test_evidence_is_told_in_the_language_of_the_reader(shown: dict[str, Any], wanted: str) -> None:
    assert wanted in describe_evidence(shown, "ko")


@pytest.mark.parametrize("key", ["the note", "answer", "title 2", "title of mine"])
def test_the_names_that_people_gave_their_fields_stay_as_they_are(key: str) -> None:
    shown = flag("extra_key", field="the answer", keys=key)
    assert describe_evidence(shown, "ko") == f"<b>답에 있으면 안 되는 칸: {key}.</b>"
    assert describe_evidence(flag("empty_field", field="the note"), "ko") == (
        "<b>빈 칸: the note.</b>"
    )


def test_a_copy_is_compared_or_excluded_with_one_click() -> None:
    html = draw(flag("near_duplicate", other=12))
    assert 'data-action="compare" data-other="12"' in html
    assert 'data-action="exclude"' in html


def test_signs_of_poisoning_lead_to_the_rows_that_share_them() -> None:
    html = draw(flag("burst", num=10), flag("repeated_phrase", phrase="쿠폰 받기", num=4, people=1))
    assert 'data-name="person_id" data-value="p_1"' in html
    assert 'data-name="query" data-value="쿠폰 받기"' in html
    assert "‘쿠폰 받기’: 1명의 답 4개에 나와요." in html


def test_what_can_be_repaired_is_accepted_repaired_and_the_rest_is_written() -> None:
    assert 'data-action="accept"' in draw(flag("leading_number"), has_suggestion=True)
    assert 'data-action="fix"' in draw(flag("truncated"))
    assert 'data-action="exclude"' in draw(flag("leading_number"))


def test_what_people_wrote_is_escaped() -> None:
    html = draw(flag("repeated_phrase", phrase=EVIL, num=4, people=1), flag(EVIL, EVIL))
    assert "<img" not in html


def test_a_refusal_names_the_flag_in_the_language_of_the_reader() -> None:
    said = describe_refusal("off_category", "Reads as VEGAN. Correct it.", "ko")
    assert said == "다른 주제: 고른 주제에 맞게 답을 고치거나 제외해 주세요."
    assert "다른 사람이" in describe_refusal("changed", "Somebody else.", "ko")
    assert describe_refusal("never_heard_of", "It broke.", "ko") == "It broke."
