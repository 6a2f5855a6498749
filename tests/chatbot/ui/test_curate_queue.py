"""What the Curate tab decides, without a browser: two curators at the same queue."""

from dataclasses import replace
from typing import Any, cast

import gradio as gr
import pytest
from starlette.requests import Request

from chatbot.recommendation import canonical
from chatbot.ui import curate_tab
from chatbot.ui.curate_queue import Queue
from chatbot.ui.curate_tab import CurateTab
from chatbot.ui.datasets_panel import CLOSED
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune.curate import CurateError
from tests.chatbot.ui.scripted_learning import ScriptedLearning
from tests.chatbot.ui.test_event_input import BAD
from tests.finetune.examples import make_example, numbered_answer

KIM, LEE = (Person(name, "curator", "ko") for name in ("p_kim", "p_lee"))


@pytest.fixture
def tab(store: Store) -> CurateTab:
    rows = [make_example(completion=canonical(numbered_answer(n))) for n in range(4)]
    store.add_examples(rows)
    nothing = cast("Any", None)
    return CurateTab(Parts(nothing, store, nothing, ScriptedLearning(store), identify=nothing))


def look(tab: CurateTab, person: Person, state: Queue | None = None) -> Queue:
    """The state after the page was drawn."""
    shown: Queue = tab._show(state or Queue(), person)[-1]
    return shown


def act(tab: CurateTab, person: Person, state: Queue, action: str, **data: str) -> Queue:
    return look(tab, person, tab._apply({"action": action, **data}, state, person))


def make_request(tab: CurateTab) -> gr.Request:
    """Of Kim's browser."""
    parts = replace(tab.parts, identify=lambda _request: (KIM.person_id, KIM.role))
    tab.parts = parts
    if hasattr(tab, "datasets"):
        tab.datasets.parts = parts
    return gr.Request(Request({"type": "http", "headers": []}))


def try_to_save(tab: CurateTab, state: Queue, form: Any) -> tuple[Any, ...]:
    """What the page shows after the form was sent."""
    state, request = act(tab, KIM, state, "fix"), make_request(tab)
    event = gr.EventData(None, {"action": "save", "form": form})
    return tab.on_act(state, event, request)


def count(tab: CurateTab, state: str) -> int:
    return tab.parts.store.count_examples(ExampleFilter(state=cast("Any", state)))


def test_two_curators_get_different_rows_and_keep_them(tab: CurateTab) -> None:
    kim, lee = look(tab, KIM), look(tab, LEE)
    assert (kim.example_id, lee.example_id) == (1, 2)
    assert look(tab, KIM, kim).example_id == 1
    assert act(tab, KIM, kim, "accept").example_id == 3


def test_a_row_that_somebody_else_decided_on_is_not_decided_again(tab: CurateTab) -> None:
    kim = look(tab, KIM)
    tab.parts.store.decide_examples([1], state="excluded", decided_by="p_lee")
    with pytest.raises(CurateError, match="Somebody else"):
        tab._apply({"action": "accept"}, kim, KIM)
    assert (count(tab, "accepted"), count(tab, "excluded")) == (0, 1)


def test_a_row_that_came_to_somebody_else_after_the_lease_is_theirs(tab: CurateTab) -> None:
    kim = look(tab, KIM)
    tab.parts.store.hold_example(1, curator="p_kim", lease_s=-1)
    assert look(tab, LEE).example_id == 1
    with pytest.raises(CurateError):
        tab._apply({"action": "accept"}, kim, KIM)
    shown = look(tab, KIM, kim)
    assert shown.example_id == 2
    assert "다른 사람이" in shown.message


def test_undo_takes_back_what_i_decided_and_nothing_of_others(tab: CurateTab) -> None:
    kim = act(tab, KIM, look(tab, KIM), "accept")
    assert act(tab, KIM, kim, "undo").example_id == 1
    assert count(tab, "accepted") == 0
    kim = act(tab, KIM, look(tab, KIM, replace(kim, example_id=1)), "accept")
    tab.parts.store.decide_examples([1], state="excluded", decided_by="p_lee")
    assert "다른 사람이" in act(tab, KIM, kim, "undo").message
    assert count(tab, "excluded") == 1


def test_a_bulk_decision_leaves_what_others_have_open_and_is_undone_at_once(
    tab: CurateTab,
) -> None:
    look(tab, LEE)
    kim = act(tab, KIM, look(tab, KIM), "bulk-exclude")
    assert kim.plan is not None
    assert kim.plan.num_held == 1
    tab.parts.store.add_examples([make_example(completion=canonical(numbered_answer(9)))])
    store = tab.parts.store
    assert store.decide_examples(kim.plan.example_ids, state="excluded", decided_by="p_kim") == 3
    assert count(tab, "pending") == 2  # what Lee has open, and what came meanwhile


def test_a_bulk_decision_leaves_what_others_decided_after_it_was_planned(
    tab: CurateTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(curate_tab, "tell", lambda _lang, text: told.append(text))
    kim = act(tab, KIM, look(tab, KIM), "bulk-accept")
    store = tab.parts.store
    store.decide_examples([2], state="excluded", decided_by="p_lee")
    better = canonical(numbered_answer(8))
    store.decide_examples([3], state="pending", decided_by="p_lee", completion=better)
    store.hold_example(4, curator="p_lee")
    act(tab, KIM, kim, "bulk-go")
    assert (count(tab, "accepted"), count(tab, "excluded"), count(tab, "pending")) == (1, 1, 2)
    assert "3개는 그대로" in told[0]


def test_a_filter_of_the_flags_narrows_to_a_person_or_a_phrase(tab: CurateTab) -> None:
    kim = act(tab, KIM, look(tab, KIM), "filter", name="query", value="2번째")
    assert kim.example_id == 3
    kim = act(tab, KIM, kim, "filter", name="person_id", value="nobody")
    assert kim.example_id is None
    assert act(tab, KIM, kim, "filter", name="secret", value="x") == kim


@pytest.mark.parametrize("other", ["", "abc", "-1", "9" * 30, None])
def test_what_a_browser_says_of_a_twin_is_not_trusted(tab: CurateTab, other: Any) -> None:
    assert act(tab, KIM, look(tab, KIM), "compare", other=other).twin_id is None


def test_the_keyboard_goes_into_the_bulk_part_and_comes_back(tab: CurateTab) -> None:
    places = []
    state = look(tab, KIM)
    for action in ("fold", "bulk-exclude", "bulk-cancel", "bulk-exclude", "bulk-go", "fold"):
        state = act(tab, KIM, state, action)
        places.append((state.bulk_focus.place, state.bulk_focus.number))
    assert places == [
        ("accept", 1),
        ("plan", 2),
        ("exclude", 3),
        ("plan", 4),
        ("fold", 5),
        ("fold", 6),
    ]
    assert act(tab, KIM, state, "next").bulk_focus == state.bulk_focus


def test_those_with_a_doubt_can_be_left_out_of_a_bulk_decision(tab: CurateTab) -> None:
    flag = {"name": "burst", "severity": "warning", "evidence": "seen", "fix": "Look."}
    tab.parts.store.decide_examples([2], state="pending", decided_by="checks", flags=(flag,))
    state = act(tab, KIM, look(tab, KIM), "bulk-accept")
    act(tab, KIM, state, "bulk-clean")
    assert count(tab, "accepted") == 3
    left = tab.parts.store.get_example(2)
    assert left
    assert left.state == "pending"


def test_flags_of_an_earlier_version_are_told_in_the_language_of_the_page(store: Store) -> None:
    said = "2 challenges came; exactly 3 are needed."
    flag = {"name": "wrong_count", "severity": "error", "evidence": said, "fix": "Leave three."}
    two = canonical(numbered_answer(1)).rsplit(",{", 1)[0] + "]}"
    store.add_examples([make_example(completion=two, flags=(flag,))])
    nothing = cast("Any", None)
    tab = CurateTab(Parts(nothing, store, nothing, ScriptedLearning(store), identify=nothing))
    html = tab._show(Queue(), KIM)[2]
    assert "<b>챌린지가 2개예요. 3개여야 해요.</b>" in html
    assert said not in html


def test_what_was_typed_stays_where_it_could_not_be_saved(tab: CurateTab) -> None:
    form = {"recommend": "전화는 010-1234-5678 이에요."}
    for number in (1, 2, 3):
        form |= {f"title-{number}": f"내 제목 {number}", f"description-{number}": "설명이에요."}
    shown = try_to_save(tab, look(tab, KIM), form)
    html, state = shown[2], shown[-1]
    assert "개인 정보" in html
    assert 'value="내 제목 2"' in html or ">내 제목 2</textarea>" in html
    assert act(tab, KIM, act(tab, KIM, state, "cancel"), "fix").draft is None
    assert count(tab, "accepted") == 0


def test_a_doubt_of_the_plan_leads_to_the_very_examples_that_have_it(tab: CurateTab) -> None:
    """One of them only after its repair, where no stored flag says so; one of the same flag is not
    in the plan.
    """
    store = tab.parts.store
    glued = canonical(numbered_answer(6)).replace("가볍게", "공HED").replace("카페", "공HED")
    wrapped = f'{{"text": {glued}}}'
    kept = {"name": "needs_repair", "severity": "error", "evidence": "x", "fix": "y"}
    store.add_examples([make_example(completion=wrapped, flags=(kept,))])
    burst = {**kept, "name": "burst", "severity": "warning"}
    store.decide_examples([2], state="pending", decided_by="checks", flags=(burst,))
    store.decide_examples([3], state="pending", decided_by="checks", flags=(burst,))
    store.hold_example(3, curator="p_lee")
    kim = act(tab, KIM, look(tab, KIM), "bulk-accept")
    assert kim.plan
    assert set(kim.plan.warnings) == {2, 5}
    seen = act(tab, KIM, kim, "bulk-doubt", value="foreign_words")
    assert seen.example_id == 5
    shown = tab._show(seen, KIM)
    assert "지금 조건에 맞는 예시는 1개예요" in shown[3]
    assert 'data-flag="foreign_words"' in shown[2]
    assert 'id="curate-only-doubt" data-action="doubt-leave" data-autofocus="bulk-2"' in shown[1]
    assert act(tab, KIM, seen, "next").bulk_focus == seen.bulk_focus
    assert act(tab, KIM, kim, "bulk-doubt", value="burst").example_id == 2
    assert act(tab, KIM, seen, "next").example_id == 5  # once round
    done = act(tab, KIM, seen, "exclude")
    assert done.example_id is None
    assert act(tab, KIM, done, "doubt-leave").example_id == 1
    assert act(tab, KIM, done, "filter", name="query", value="").doubt is None


@pytest.mark.parametrize("value", ["", "nothing", "\ud800"])
def test_a_doubt_that_no_plan_has_narrows_nothing(tab: CurateTab, value: str) -> None:
    kim = act(tab, KIM, look(tab, KIM), "bulk-doubt", value=value)
    assert (kim.doubt, kim.example_id) == (None, 1)


@pytest.mark.parametrize("value", BAD)
def test_no_form_that_a_browser_sends_breaks_saving(tab: CurateTab, value: Any) -> None:
    state = look(tab, KIM)
    for form in (value, {"text": value}, {"recommend": value, "title-1": value}):
        html, shown = try_to_save(tab, state, form)[2::2]
        assert shown.message
        assert shown.is_fixing
        assert 'id="curate-form"' in html
    assert count(tab, "pending") == 4


def test_an_emptied_field_of_a_whole_text_stays_one_field(tab: CurateTab) -> None:
    store = tab.parts.store
    store.add_examples([make_example(completion="답이 아닌 글")])
    shown = try_to_save(tab, replace(look(tab, KIM), example_id=5), {"text": ""})
    assert shown[-1].draft == ""
    assert 'id="edit-text" rows="8" required></textarea>' in shown[2]
    assert "edit-title-1" not in shown[2]


async def test_a_click_in_the_versions_is_not_undone_by_a_key_in_the_queue(
    tab: CurateTab,
) -> None:
    """Deciding draws the part of the versions anew, and leaves where its reader stands alone."""
    with gr.Blocks() as demo:
        tab.build()
    drawn = [fn for fn in demo.fns.values() if fn.fn and fn.fn.__name__ == "on_decided"]
    assert drawn
    assert all(fn.outputs == [tab.datasets.view] for fn in drawn)
    request = make_request(tab)
    opened = replace(CLOSED, is_open=True)
    assert 'id="datasets"' in tab.datasets.on_decided(opened, request)
    assert tab.datasets.on_decided(CLOSED, request) == gr.skip()
