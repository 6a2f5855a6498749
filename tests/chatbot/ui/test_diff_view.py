import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chatbot.recommendation import canonical, to_text
from chatbot.ui.diff_view import mark_differences, to_readable, to_readable_alike
from tests.chatbot.ui.records import ANSWER


def strip_marks(html: str) -> str:
    text = re.sub(r"</?(?:del|ins)>", "", html)
    for code, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'")):
        text = text.replace(code, char)
    return text.replace("&amp;", "&")


def test_only_what_differs_is_marked() -> None:
    left, right = mark_differences("1. 텀블러 챙기기", "텀블러 챙기기")
    assert left == "<del>1. </del>텀블러 챙기기"
    assert right == "텀블러 챙기기"


def test_markup_in_the_texts_is_escaped() -> None:
    left, right = mark_differences("<b>a</b>", "<b>c</b>")
    assert "<b>" not in left + right


@given(st.text(max_size=60), st.text(max_size=60))
def test_without_the_marks_both_texts_are_whole(before: str, after: str) -> None:
    left, right = mark_differences(before, after)
    assert strip_marks(left) == before
    assert strip_marks(right) == after


def test_a_recommendation_is_shown_as_people_read_it() -> None:
    assert to_readable(canonical(ANSWER)) == to_text(ANSWER)
    assert to_readable("그냥 글") == "그냥 글"


def test_a_title_with_a_number_of_its_own_is_shown_as_it_is_stored_without_ours() -> None:
    titles = ("1. 텀블러 챙기기", "2. 개인 컵 두기", "3층까지 걷기")
    items = zip(ANSWER.challenges, titles, strict=True)
    stray = replace(ANSWER, challenges=tuple(replace(c, title=title) for c, title in items))
    shown = to_readable(canonical(stray))
    assert "\n\n1. 텀블러 챙기기\n" in shown
    assert "\n\n3층까지 걷기\n" in shown
    fixed = replace(
        stray,
        challenges=(replace(stray.challenges[0], title="텀블러 챙기기"), *stray.challenges[1:]),
    )
    left, right = mark_differences(*to_readable_alike(canonical(stray), canonical(fixed)))
    assert left.count("<del>") == 1
    assert "<del>1. </del>텀블러 챙기기" in left
    assert "<ins>" not in right


def test_a_number_that_counts_is_no_reason_to_leave_ours_out() -> None:
    counting = replace(ANSWER.challenges[0], title="3층까지 걷기")
    answer = replace(ANSWER, challenges=(counting, *ANSWER.challenges[1:]))
    assert "1. 3층까지 걷기" in to_readable(canonical(answer))
