"""A version on trial with a share of the conversations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from feedback_store.records import Conversation, NewFeedback, NewTurn, Origin, Rating
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, adapter_dir
from finetune.canary import (
    CanarySettings,
    Trial,
    count_thumbs,
    find_trial,
    read_canary,
    start_canary,
    step_canary,
    stop_canary,
)
from finetune.registry import CANARY, production_version, publish_adapter
from finetune.swap import Promotion, promote_live, reconcile
from tests.finetune.fake_serving import FakeServing
from tests.finetune.published import PASSED, add_run, make_report, publish

SETTINGS = CanarySettings()
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
        start_canary(opened, serving, "v0002", 0.5, BY_ADMIN)
        yield opened


def trial_of(store: Store) -> Trial:
    trial = find_trial(store)
    assert trial is not None
    return trial


def find_talk(trial: Trial, name: str, *, included: bool) -> str:
    """An id of a conversation that the trial includes, or leaves out."""
    ids = (f"{name}-{number}" for number in range(1000))
    return next(item for item in ids if trial.includes(item) == included)


@dataclass(frozen=True)
class Thumb:
    """Who asked whom; talk "" is a conversation that the trial gives to that version."""

    person: str
    adapter: str
    talk: str = ""
    origin: Origin = "public"


def rate(store: Store, thumb: Thumb, rating: Rating | None, *reasons: str) -> None:
    """One person asks, and says what they think."""
    included = thumb.adapter == "v0002"
    trial = find_trial(store) or Trial("v0002", 0.5, "v0001", "", "")
    talk = thumb.talk or find_talk(trial, f"c-{thumb.person}-{rating}", included=included)
    if store.get_conversation(talk) is None:
        store.add_conversation(
            Conversation(
                conversation_id=talk,
                person_id=thumb.person,
                origin=thumb.origin,
                lang="ko",
                location="city",
                work_type="office",
                category="VEGAN",
                first_category="VEGAN",
            )
        )
    turn = store.add_turn(
        NewTurn(
            conversation_id=talk,
            mode="base_info",
            user_text="",
            location="city",
            work_type="office",
            category="VEGAN",
            messages=(),
            raw_text="",
            recommendation=None,
            adapter=thumb.adapter,
            status="ok",
            base_model="starter",
            prompt_hash="",
        )
    )
    store.set_feedback(
        NewFeedback(turn_id=turn.turn_id, person_id=thumb.person, rating=rating, reasons=reasons)
    )


def rate_all(store: Store, num_people: int, canary: Rating, production: Rating) -> None:
    for number in range(num_people):
        rate(store, Thumb(f"a{number}", "v0002"), canary)
        rate(store, Thumb(f"b{number}", "v0001"), production)


TALKS = [f"talk{number}" for number in range(4000)]


def test_every_conversation_keeps_the_adapter_it_began_with() -> None:
    trial = Trial("v0002", 0.1, "v0001", "", "")
    chosen = [trial.includes(talk) for talk in TALKS]
    assert chosen == [replace(trial, started_at="later").includes(talk) for talk in TALKS]
    assert 0.08 < sum(chosen) / len(chosen) < 0.12
    assert chosen != [replace(trial, version="v0003").includes(talk) for talk in TALKS]


def test_raising_the_share_takes_no_conversation_out_of_the_trial() -> None:
    small, large = Trial("v0002", 0.1, None, "", ""), Trial("v0002", 0.3, None, "", "")
    assert {t for t in TALKS if small.includes(t)} < {t for t in TALKS if large.includes(t)}


def test_a_trial_is_what_the_store_says_also_after_a_restart(store: Store, tmp_path: Path) -> None:
    began = trial_of(store)
    assert (began.version, began.share, began.against) == ("v0002", 0.5, "v0001")
    assert began.started_by == "admin"
    store.close()
    with Store.open(tmp_path / "data") as again:
        assert find_trial(again) == began


def test_after_its_end_nobody_is_in_the_trial(store: Store, serving: FakeServing) -> None:
    stop_canary(store, "admin", "enough")
    assert find_trial(store) is None
    assert set(serving.loaded()) == {"v0001", "v0002"}  # its answers may be in flight
    with pytest.raises(RegistryError, match="No version is on trial"):
        stop_canary(store, "admin", "again")


@pytest.mark.parametrize("share", [0.0, -1.0, 0.51, float("nan")])
def test_a_share_is_some_and_at_most_half(store: Store, serving: FakeServing, share: float) -> None:
    stop_canary(store, "admin", "enough")
    with pytest.raises(RegistryError, match="The share is") as caught:
        start_canary(store, serving, "v0002", share, BY_ADMIN)
    assert caught.value.code == "bad_share"
    assert find_trial(store) is None


def test_a_trial_needs_a_version_that_passed(store: Store, serving: FakeServing) -> None:
    publish(store, "r3", outcome="fail")
    stop_canary(store, "admin", "enough")
    with pytest.raises(RegistryError) as caught:
        start_canary(store, serving, "v0003", 0.1, BY_ADMIN)
    assert caught.value.code == "not_passed"
    assert find_trial(store) is None


@pytest.mark.parametrize(
    ("version", "code"), [("v0001", "already_production"), ("v0003", "canary_running")]
)
def test_one_trial_at_a_time_and_never_of_production(
    store: Store, serving: FakeServing, version: str, code: str
) -> None:
    publish(store, "r3")
    with pytest.raises(RegistryError) as caught:
        start_canary(store, serving, version, 0.1, BY_ADMIN)
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


def count(store: Store) -> tuple[int, int, int]:
    thumbs = count_thumbs(store, trial_of(store), SETTINGS.max_per_person)
    return thumbs.num_blocks, thumbs.canary_likes, thumbs.production_likes


def test_each_conversation_counts_once_and_only_for_who_was_to_answer_it(store: Store) -> None:
    trial = trial_of(store)
    inside = find_talk(trial, "in", included=True)
    outside = find_talk(trial, "out", included=False)
    rate(store, Thumb("a", "v0001", inside), "like")  # picked by hand, not by the trial
    rate(store, Thumb("a", "v0002", inside), "like")
    rate(store, Thumb("a", "v0002", inside), "dislike")
    rate(store, Thumb("b", "v0001", outside), "dislike")
    rate(store, Thumb("c", "v0001"), None)
    rate(store, Thumb("d", "v0000"), "like")
    rate(store, Thumb("e", "v0002"), "like", "arena_win:v0001")
    assert count(store) == (1, 1, 0)


@pytest.mark.parametrize(("origin", "expected"), [("public", 5), ("api", 5), ("studio", 8)])
def test_one_visitor_decides_no_trial(store: Store, origin: Origin, expected: int) -> None:
    trial = trial_of(store)
    for number in range(8):
        talk = find_talk(trial, f"angry{number}", included=True)
        rate(store, Thumb("angry", "v0002", talk, origin), "dislike")
        rate(store, Thumb(f"b{number}", "v0001"), "like")
    assert count(store) == (expected, 0, expected)


def test_few_thumbs_decide_nothing(store: Store, serving: FakeServing) -> None:
    rate_all(store, 4, "dislike", "like")
    assert step_canary(store, serving, SETTINGS).decision == "undecided"
    assert trial_of(store).version == "v0002"


def test_a_worse_version_is_taken_back_and_the_reason_is_kept(
    store: Store, serving: FakeServing
) -> None:
    rate_all(store, 12, "dislike", "like")
    status = step_canary(store, serving, SETTINGS)
    assert status.decision == "worse"
    assert find_trial(store) is None
    assert production_version(store) == "v0001"
    event = store.list_alias_events(CANARY)[0]
    assert event.actor == "canary"
    assert event.reason.startswith("People like it less (v0002: 0 of 12 conversations liked")


def test_a_better_version_is_promoted_and_the_reason_is_kept(
    store: Store, serving: FakeServing
) -> None:
    rate_all(store, 12, "like", "dislike")
    assert step_canary(store, serving, SETTINGS).decision == "better"
    assert production_version(store) == "v0002"
    assert find_trial(store) is None
    assert store.get_alias(CANARY) is None
    assert store.list_alias_events("production")[0].reason.startswith("People like it more")
    assert set(serving.loaded()) == {"v0001", "v0002"}


def test_promotion_of_a_better_one_can_wait_for_the_button(
    store: Store, serving: FakeServing
) -> None:
    rate_all(store, 12, "like", "dislike")
    settings = CanarySettings(auto_promote=False)
    assert step_canary(store, serving, settings).decision == "better"
    assert (production_version(store), trial_of(store).version) == ("v0001", "v0002")


def test_a_step_that_was_killed_after_promoting_is_finished_by_the_next(
    store: Store, serving: FakeServing
) -> None:
    promote_live(store, serving, "v0002", BY_ADMIN)
    assert find_trial(store) is None
    assert step_canary(store, serving, SETTINGS).decision == "none"
    assert store.get_alias(CANARY) is None


def test_reconcile_brings_the_canary_back_or_ends_its_trial(store: Store) -> None:
    fresh = FakeServing()
    assert reconcile(store, store.data_dir, fresh).notes == ()
    assert set(fresh.loaded()) == {"v0001", "v0002"}
    (adapter_dir(store.data_dir, "v0002") / "adapter_model.safetensors").write_text("goof")
    found = reconcile(store, store.data_dir, FakeServing())
    assert found.notes[0].startswith("The trial of v0002 has ended")
    assert find_trial(store) is None


def test_nothing_on_trial_is_told(store: Store, serving: FakeServing) -> None:
    stop_canary(store, "admin", "enough")
    assert read_canary(store, SETTINGS).message == "No version is on trial."


def test_an_overridden_version_stays_one_when_it_is_promoted(
    store: Store, serving: FakeServing
) -> None:
    stop_canary(store, "admin", "enough")
    publish(store, "r3", outcome="fail")
    promotion = Promotion("admin", "I read every answer", override=True)
    start_canary(store, serving, "v0003", 0.5, promotion)
    assert store.list_alias_events(CANARY)[0].reason == "override: I read every answer"
    trial = trial_of(store)
    for number in range(12):
        talk = find_talk(trial, f"in{number}", included=True)
        rate(store, Thumb(f"a{number}", "v0003", talk), "like")
        rate(store, Thumb(f"b{number}", "v0001"), "dislike")
    step_canary(store, serving, SETTINGS)
    assert production_version(store) == "v0003"
    assert store.list_alias_events("production")[0].reason.startswith("override: People like")


@pytest.mark.parametrize("answer_format", ["text", "recommendation"])
def test_a_version_is_warmed_up_as_people_will_ask_it(
    store: Store, serving: FakeServing, answer_format: str
) -> None:
    stop_canary(store, "admin", "enough")
    report = replace(make_report(), answer_format=answer_format)
    version = publish_adapter(store, store.data_dir, add_run(store, "r3"), report, PASSED).version
    start_canary(store, serving, version, 0.5, BY_ADMIN)
    assert serving.asked[-1].adapter == version
    assert serving.asked[-1].constrained == (answer_format == "recommendation")


def test_a_trial_ends_when_what_it_is_compared_with_no_longer_answers(
    store: Store, serving: FakeServing
) -> None:
    promote_live(store, serving, publish(store, "r3").version, BY_ADMIN)
    assert step_canary(store, serving, SETTINGS).decision == "none"
    assert find_trial(store) is None
    reason = store.list_alias_events(CANARY)[0].reason
    assert reason.startswith("v0003 answers now instead of v0001")


def test_a_trial_against_the_base_counts_the_base(store: Store, serving: FakeServing) -> None:
    stop_canary(store, "admin", "enough")
    promote_live(store, serving, None, BY_ADMIN)
    start_canary(store, serving, "v0002", 0.5, BY_ADMIN)
    assert trial_of(store).against is None
    rate(store, Thumb("a", "v0002"), "like")
    rate(store, Thumb("b", ""), "dislike")
    assert count(store) == (1, 1, 0)
    assert "the base model: 0 of 1" in read_canary(store, SETTINGS).message


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(ValueError, match="alpha"):
        CanarySettings(alpha=0.0)
