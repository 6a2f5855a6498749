from chatbot.recommendation import canonical
from chatbot.ui.curate_bulk import NO_FOCUS, BulkPlan, make_plan, render_bulk
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune.checks import DEFAULT_CHECKS
from finetune.curate import accept_shown
from tests.chatbot.ui.records import ANSWER, EVIL
from tests.chatbot.ui.records import make_example as make_stored
from tests.finetune.examples import make_example, numbered_answer

PENDING = ExampleFilter(state="pending")
WRAPPED = f'{{"text": {canonical(ANSWER)}}}'


def fill(store: Store) -> None:
    answers = [
        canonical(numbered_answer(1)),
        WRAPPED,
        "답이 아닌 글",
        canonical(numbered_answer(2)),
    ]
    store.add_examples([make_example(completion=text) for text in answers])


def test_the_plan_says_what_accepting_all_would_do(store: Store) -> None:
    fill(store)
    store.hold_example(4, curator="lee")
    plan = make_plan(store, "accept", PENDING, "kim", DEFAULT_CHECKS)
    assert plan.example_ids == (1, 2, 3)
    assert (plan.num_matching, plan.num_held, plan.num_fixed, plan.num_refused) == (4, 1, 1, 1)
    shown = {example.example_id: example.completion for example in plan.samples}
    assert shown == {1: canonical(numbered_answer(1)), 2: canonical(ANSWER)}  # the second repaired
    html = render_bulk(4, plan, "en", is_open=True)
    assert "Accept 2 examples?" in html
    for note in ("1 are accepted with their repair", "1 need a person", "1 are open at another"):
        assert note in html


def test_what_is_accepted_already_is_no_part_of_the_plan(store: Store) -> None:
    fill(store)
    store.decide_examples([1], state="accepted", decided_by="kim")
    everything = ExampleFilter()
    assert make_plan(store, "accept", everything, "kim", DEFAULT_CHECKS).example_ids == (2, 3, 4)
    assert make_plan(store, "exclude", everything, "kim", DEFAULT_CHECKS).example_ids == (
        1,
        2,
        3,
        4,
    )


def test_what_was_planned_is_what_happens(store: Store) -> None:
    fill(store)
    plan = make_plan(store, "accept", PENDING, "kim", DEFAULT_CHECKS)
    done = accept_shown(store, plan.example_ids, curator="kim")
    assert done.num_changed == len(plan.example_ids) - plan.num_refused
    fixed = store.get_example(2)
    assert fixed
    assert (fixed.state, fixed.completion) == ("accepted", canonical(ANSWER))


def test_deciding_on_many_shows_what_it_would_do_and_can_be_left() -> None:
    assert "disabled" in render_bulk(0, None, "en", is_open=True)
    plan = BulkPlan("exclude", {3: 0}, 1, samples=(make_stored(completion=EVIL),))
    html = render_bulk(1, plan, "ko", is_open=False)
    assert 'data-action="bulk-go" data-key="y"' in html
    assert 'data-escape="1"' in html
    assert "<img" not in html


def warn(name: str) -> dict[str, str]:
    return {"name": name, "severity": "warning", "evidence": "seen", "fix": "Look."}


def test_the_plan_shows_what_it_would_accept_with_a_doubt(store: Store) -> None:
    fill(store)
    glued = canonical(ANSWER).replace("가볍게", "공HED")
    store.add_examples([make_example(completion=glued), make_example(completion="글")])
    store.decide_examples([1], state="pending", decided_by="checks", flags=(warn("burst"),))
    plan = make_plan(store, "accept", PENDING, "kim", DEFAULT_CHECKS)
    assert plan.warnings[1] == ("burst",)
    assert "foreign_words" in plan.warnings[5]
    assert {example.example_id for example in plan.samples} >= {1, 5}
    html = render_bulk(6, plan, "ko", is_open=True)
    told = html.split('id="curate-plan-warnings"')[1].split("</div></div>")[0]
    assert "2개에는 확인할 점이 있어요" in told
    assert 'data-action="bulk-doubt" data-value="burst">한꺼번에 온 평가 1<' in told
    assert "확인할 점이 없는 2개만 수락" in html
    clean = plan.without_warnings()
    assert set(clean.example_ids) == set(plan.example_ids) - {1, 5}


def test_a_plan_without_doubts_and_one_to_exclude_warn_of_nothing(store: Store) -> None:
    fill(store)
    store.decide_examples([1], state="pending", decided_by="checks", flags=(warn("burst"),))
    plan = make_plan(store, "exclude", PENDING, "kim", DEFAULT_CHECKS)
    html = render_bulk(4, plan, "ko", is_open=True)
    assert "curate-plan-warnings" not in html
    assert "curate-plan-clean" not in html


def test_the_keyboard_is_led_to_one_place_at_a_time() -> None:
    opened = NO_FOCUS.move("accept")
    html = render_bulk(4, None, "en", is_open=True, focus=opened)
    assert html.count("data-autofocus") == 1
    assert 'id="curate-bulk-accept" data-action="bulk-accept" data-autofocus="bulk-1"' in html
    assert 'data-escape="1"' in html.split("</button>")[0]  # Escape closes it again
    plan = BulkPlan("exclude", {3: 0}, 1)
    html = render_bulk(1, plan, "en", is_open=True, focus=opened.move("plan"))
    assert html.count("data-autofocus") == 1
    assert 'aria-labelledby="curate-plan-title" data-autofocus="bulk-2"' in html
    assert html.count("data-escape") == 1
