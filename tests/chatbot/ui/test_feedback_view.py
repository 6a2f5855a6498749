import re

import pytest

from chatbot.recommendation import RecommendationError, to_dict
from chatbot.ui.feedback_view import (
    read_fields,
    read_reasons,
    render_edit_form,
    render_reason_panel,
)
from tests.chatbot.ui.records import ANSWER, EVIL, make_feedback


def make_form() -> dict[str, str]:
    form = {"recommend": ANSWER.recommend}
    for number, challenge in enumerate(ANSWER.challenges, 1):
        form[f"title-{number}"] = challenge.title
        form[f"description-{number}"] = challenge.description
    return form


def test_typed_fields_become_the_same_answer() -> None:
    assert read_fields(make_form()) == ANSWER


def test_an_empty_field_is_named() -> None:
    with pytest.raises(RecommendationError, match="title 2 is empty"):
        read_fields(make_form() | {"title-2": "  "})


def test_up_and_down_have_reasons_of_their_own() -> None:
    up = render_reason_panel(make_feedback(rating="like"), "ko", may_train=None)
    down = render_reason_panel(make_feedback(rating="dislike"), "ko", may_train=None)
    assert set(re.findall(r'value="(\w+)"', up)).isdisjoint(re.findall(r'value="(\w+)"', down))


def test_given_reasons_are_chosen_when_the_panel_opens_again() -> None:
    panel = render_reason_panel(make_feedback(reasons=("fresh",)), "ko", may_train=True)
    assert re.findall(r'value="(\w+)" ?(?:id="consent-train")? ?checked', panel) == ["fresh", "1"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("clear", ("clear",)),
        (["clear", "doable"], ("doable", "clear")),
        (["off_topic", "clear", "x" * 999], ("clear",)),
        ([], ()),
    ],
)
def test_only_known_reasons_of_the_rating_are_kept(sent: object, expected: tuple[str]) -> None:
    assert read_reasons({"reasons": sent}, "like") == expected


def test_the_form_holds_the_answer_escaped() -> None:
    evil = to_dict(ANSWER)
    html = render_edit_form(7, ANSWER, "ko", EVIL)
    assert "<img" not in html
    assert html.count("<textarea") == 7
    assert str(evil["recommend"]) in html
