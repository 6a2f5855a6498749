from typing import Any

import pytest

from chatbot.recommendation import canonical
from chatbot.ui.curate_view import (
    QueueCounts,
    QueueFilter,
    QueueView,
    render_counts,
    render_filter,
    render_queue,
)
from finetune.retrain_goal import RetrainGoal
from tests.chatbot.ui.records import ANSWER, EVIL, make_example, make_feedback


def make_view(**values: Any) -> QueueView:
    usual: dict[str, Any] = {"lang": "ko", "counts": QueueCounts(), "filter": QueueFilter()}
    return QueueView(**{**usual, **values})


def test_every_decision_is_a_button_that_shows_its_key() -> None:
    html = render_queue(make_view(example=make_example()))
    keys = {"accept": "a", "fix": "f", "exclude": "x", "next": "n", "undo": "u", "tokens": "t"}
    for name, key in keys.items():
        assert f'id="curate-{name}"' in html
        assert f'data-key="{key}"' in html
        assert f"<kbd>{key.upper()}</kbd>" in html


def test_an_unchanged_answer_is_shown_once() -> None:
    html = render_queue(make_view(example=make_example()))
    assert 'id="curate-proposed"' in html
    assert 'id="curate-original"' not in html


def test_a_suggested_repair_stands_beside_the_original_with_differences_marked() -> None:
    example = make_example(completion="1. 엉망인 답", original_text="1. 엉망인 답")
    html = render_queue(make_view(example=example, suggestion=canonical(ANSWER)))
    assert 'id="curate-original"' in html
    assert "<del>" in html
    assert "<ins>" in html


def test_the_worse_answer_of_a_pair_is_the_original() -> None:
    html = render_queue(make_view(example=make_example(rejected="나쁜 답")))
    assert "나쁜" in html


def test_flags_say_what_was_seen_and_what_to_do() -> None:
    flag = {"name": "leading_number", "severity": "warning", "evidence": "1. 텀", "fix": "Remove"}
    html = render_queue(make_view(example=make_example(flags=(flag,))))
    assert "앞에 번호" in html
    assert "1. 텀" in html
    assert "eco-tag-warn" in html


def test_an_unknown_flag_keeps_its_own_words() -> None:
    flag = {"name": "brand_new", "severity": "info", "evidence": EVIL, "fix": "Do this."}
    html = render_queue(make_view(example=make_example(flags=(flag,))))
    assert "brand new" in html
    assert "Do this." in html
    assert "<img" not in html


def test_whatever_people_wrote_is_escaped() -> None:
    example = make_example(
        messages=({"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL}),
        completion=EVIL,
        original_text=f"{EVIL} other",
    )
    feedback = make_feedback(comment=EVIL)
    for is_fixing in (False, True):
        view = make_view(example=example, feedback=feedback, is_fixing=is_fixing, message=EVIL)
        assert "<img" not in render_queue(view)


def test_an_answer_is_fixed_in_fields_and_any_other_text_in_one() -> None:
    fields = render_queue(make_view(example=make_example(), is_fixing=True))
    assert fields.count("<textarea") == 7
    plain = render_queue(make_view(example=make_example(completion="글"), is_fixing=True))
    assert 'id="edit-text"' in plain


def test_an_empty_queue_says_whether_it_is_done_or_never_began() -> None:
    assert "아직 확인할 예시가 없어요" in render_queue(make_view())
    done = make_view(counts=QueueCounts(accepted=3), can_undo=True)
    assert "여기까지 모두 확인했어요" in render_queue(done)
    assert 'id="curate-undo"' in render_queue(done)


def test_a_queue_whose_rows_others_look_at_is_not_told_as_empty() -> None:
    held = render_queue(make_view(counts=QueueCounts(pending=1200, matching=1200)))
    assert "다른 사람이 보고 있어요" in held
    assert "1,200개" in held
    assert "아직 확인할 예시가 없어요" not in held


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        (RetrainGoal(12, 20, is_first=True), "8 more accepted examples until the first"),
        (RetrainGoal(20, 20, is_first=True), "Enough for a first retrain"),
        (RetrainGoal(6, 20, is_first=False), "6 new since the last training · 14 more"),
        (RetrainGoal(20, 20, is_first=False), "20 or more new since the last training"),
    ],
)
def test_counts_tell_how_many_more_make_a_retrain_worth_it(goal: RetrainGoal, said: str) -> None:
    assert said in render_counts(QueueCounts(pending=4, accepted=12, goal=goal), "en")


def test_the_filter_keeps_what_was_chosen_and_counts_the_flags() -> None:
    html = render_filter(QueueFilter(flag="link"), {"link": 3, "loop": 1}, "en")
    assert '<option value="link" selected>Link (3)</option>' in html


def test_words_and_a_person_narrow_the_queue() -> None:
    html = render_filter(QueueFilter(query=EVIL, person_id="p_1"), {}, "en")
    assert "<img" not in html
    assert 'data-name="person_id" data-value=""' in html
    assert "curate-only-person" not in render_filter(QueueFilter(), {}, "en")


def test_the_twin_stands_beside_the_row_with_the_differences_marked() -> None:
    twin = make_example(example_id=9, state="accepted", completion="거의 같은 답")
    html = render_queue(make_view(example=make_example(), twin=twin))
    assert "#9" in html
    assert "<del>" in html
