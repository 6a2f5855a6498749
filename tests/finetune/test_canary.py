"""A version on trial with a share of the people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_store.records import Conversation, NewFeedback, NewTurn, Rating
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, adapter_dir
from finetune.canary import (
    CanarySettings,
    canary_version,
    choose_version,
    count_thumbs,
    is_chosen,
    read_canary,
    start_canary,
    step_canary,
    stop_canary,
)
from finetune.registry import production_version
from finetune.swap import CANARY, Promotion, promote_live, reconcile
from tests.finetune.fake_serving import FakeServing
from tests.finetune.published import publish

SETTINGS = CanarySettings(share=0.5)
BY_ADMIN = Promotion("admin", "let us see what people say")


@pytest.fixture
def serving() -> FakeServing:
    return FakeServing()


@pytest.fixture
def store(tmp_path: Path, serving: FakeServing) -> Iterator[Store]:
    """v0001 answers, v0002 is on trial."""
    with Store.open(tmp_path / "data") as opened:
        for run_id in ("r1", "r2"):
            publish(opened, run_id)
        promote_live(opened, serving, "v0001", BY_ADMIN)
        start_canary(opened, serving, "v0002", BY_ADMIN)
        yield opened


def rate(store: Store, person: str, adapter: str, rating: Rating | None, *reasons: str) -> None:
    """One person asks in a conversation of their own, and says what they think."""
    conversation = Conversation(
        conversation_id=f"c-{person}-{adapter}-{rating}",
        person_id=person,
        origin="public",
        lang="ko",
        location="city",
        work_type="office",
        category="VEGAN",
        first_category="VEGAN",
    )
    store.add_conversation(conversation)
    turn = store.add_turn(
        NewTurn(
            conversation_id=conversation.conversation_id,
            mode="base_info",
            user_text="",
            location="city",
            work_type="office",
            category="VEGAN",
            messages=(),
            raw_text="",
            recommendation=None,
            adapter=adapter,
            status="ok",
            base_model="starter",
            prompt_hash="",
        )
    )
    feedback = NewFeedback(turn_id=turn.turn_id, person_id=person, rating=rating, reasons=reasons)
    store.set_feedback(feedback)


def rate_all(store: Store, num_people: int, canary: Rating, production: Rating) -> None:
    for number in range(num_people):
        rate(store, f"a{number}", "v0002", canary)
        rate(store, f"b{number}", "v0001", production)


def test_everyone_keeps_the_adapter_they_began_with() -> None:
    people = [f"person{number}" for number in range(4000)]
    chosen = [is_chosen("v0002", person, 0.1) for person in people]
    assert chosen == [is_chosen("v0002", person, 0.1) for person in people]
    assert 0.08 < sum(chosen) / len(chosen) < 0.12
    assert chosen != [is_chosen("v0003", person, 0.1) for person in people]


def test_raising_the_share_takes_nobody_out_of_the_trial() -> None:
    people = [f"person{number}" for number in range(500)]
    small = {person for person in people if is_chosen("v0002", person, 0.1)}
    assert small < {person for person in people if is_chosen("v0002", person, 0.3)}


def test_a_share_of_the_people_talks_with_the_canary(store: Store) -> None:
    answers = {choose_version(store, f"person{number}", SETTINGS) for number in range(50)}
    assert answers == {"v0001", "v0002"}


def test_without_a_trial_everyone_talks_with_production(store: Store, serving: FakeServing) -> None:
    stop_canary(store, "admin", "enough")
    answers = {choose_version(store, f"person{number}", SETTINGS) for number in range(50)}
    assert answers == {"v0001"}
    assert set(serving.loaded()) == {"v0001", "v0002"}  # its answers may be in flight
    with pytest.raises(RegistryError, match="No version is on trial"):
        stop_canary(store, "admin", "again")


def test_a_trial_needs_a_version_that_passed(store: Store, serving: FakeServing) -> None:
    publish(store, "r3", outcome="fail")
    stop_canary(store, "admin", "enough")
    with pytest.raises(RegistryError) as caught:
        start_canary(store, serving, "v0003", BY_ADMIN)
    assert caught.value.code == "not_passed"
    assert canary_version(store) is None


@pytest.mark.parametrize(
    ("version", "code"), [("v0001", "already_production"), ("v0003", "canary_running")]
)
def test_one_trial_at_a_time_and_never_of_production(
    store: Store, serving: FakeServing, version: str, code: str
) -> None:
    publish(store, "r3")
    with pytest.raises(RegistryError) as caught:
        start_canary(store, serving, version, BY_ADMIN)
    assert caught.value.code == code


def test_the_canary_stays_loaded_through_promotions(store: Store, serving: FakeServing) -> None:
    for run_id in ("r3", "r4", "r5"):
        promote_live(store, serving, publish(store, run_id).version, BY_ADMIN)
    assert set(serving.loaded()) == {"v0002", "v0003", "v0004", "v0005"}


def test_a_version_whose_trial_ended_is_unloaded_by_later_promotions(
    store: Store, serving: FakeServing
) -> None:
    stop_canary(store, "admin", "enough")
    for run_id in ("r3", "r4", "r5"):
        promote_live(store, serving, publish(store, run_id).version, BY_ADMIN)
    assert set(serving.loaded()) == {"v0003", "v0004", "v0005"}


def test_each_person_counts_once_and_only_for_who_answered_them(store: Store) -> None:
    rate(store, "a", "v0002", "like")
    rate(store, "a", "v0002", "dislike")
    rate(store, "b", "v0001", "dislike")
    rate(store, "c", "v0001", None)
    rate(store, "d", "v0000", "like")
    rate(store, "e", "v0002", "like", "arena_win:v0001")
    thumbs = count_thumbs(store, "v0002", 1)
    assert (thumbs.num_blocks, thumbs.canary_likes, thumbs.production_likes) == (1, 1, 0)


def test_few_thumbs_decide_nothing(store: Store, serving: FakeServing) -> None:
    rate_all(store, 4, "dislike", "like")
    assert step_canary(store, serving, SETTINGS).decision == "undecided"
    assert canary_version(store) == "v0002"


def test_a_worse_version_is_taken_back_and_the_reason_is_kept(
    store: Store, serving: FakeServing
) -> None:
    rate_all(store, 12, "dislike", "like")
    status = step_canary(store, serving, SETTINGS)
    assert status.decision == "worse"
    assert canary_version(store) is None
    assert production_version(store) == "v0001"
    event = store.list_alias_events(CANARY)[0]
    assert event.actor == "canary"
    assert event.reason.startswith("People like it less (v0002: 0 of 12 people like it")


def test_a_better_version_is_promoted_and_the_reason_is_kept(
    store: Store, serving: FakeServing
) -> None:
    rate_all(store, 12, "like", "dislike")
    assert step_canary(store, serving, SETTINGS).decision == "better"
    assert production_version(store) == "v0002"
    assert canary_version(store) is None
    assert store.get_alias(CANARY) is None
    assert "People like it more" in store.list_alias_events("production")[0].reason
    assert set(serving.loaded()) == {"v0001", "v0002"}


def test_promotion_of_a_better_one_can_wait_for_the_button(
    store: Store, serving: FakeServing
) -> None:
    rate_all(store, 12, "like", "dislike")
    settings = CanarySettings(share=0.5, auto_promote=False)
    assert step_canary(store, serving, settings).decision == "better"
    assert (production_version(store), canary_version(store)) == ("v0001", "v0002")


def test_a_step_that_was_killed_after_promoting_is_finished_by_the_next(
    store: Store, serving: FakeServing
) -> None:
    promote_live(store, serving, "v0002", BY_ADMIN)
    assert canary_version(store) is None
    assert step_canary(store, serving, SETTINGS).decision == "none"
    assert store.get_alias(CANARY) is None


def test_reconcile_brings_the_canary_back_or_ends_its_trial(store: Store) -> None:
    fresh = FakeServing()
    assert reconcile(store, store.data_dir, fresh).notes == ()
    assert set(fresh.loaded()) == {"v0001", "v0002"}
    (adapter_dir(store.data_dir, "v0002") / "adapter_model.safetensors").write_text("goof")
    found = reconcile(store, store.data_dir, FakeServing())
    assert found.notes[0].startswith("The trial of v0002 has ended")
    assert canary_version(store) is None


def test_nothing_on_trial_is_told(store: Store, serving: FakeServing) -> None:
    stop_canary(store, "admin", "enough")
    assert read_canary(store, SETTINGS).message == "No version is on trial."


@pytest.mark.parametrize("settings", [{"share": 0.0}, {"share": 0.6}, {"alpha": 0.0}])
def test_a_bad_setting_is_named(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        CanarySettings(**settings)
