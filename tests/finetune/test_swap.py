"""Changing which adapter answers, and making the engine match after a crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, adapter_dir
from finetune.applied import RESULT_KEY
from finetune.registry import CANARY, PRODUCTION, production_version, promote, publish_adapter
from finetune.swap import Promotion, promote_live, reconcile, roll_back_live
from tests.finetune.fake_serving import AdapterRefused, FakeServing
from tests.finetune.published import PASSED, add_run, make_report, publish

ROOT = Path(__file__).parents[2]
BY_ADMIN = Promotion("admin", "because it is better")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def serving() -> FakeServing:
    return FakeServing()


def promote_three(store: Store, serving: FakeServing) -> None:
    for run_id in ("r1", "r2", "r3"):
        promote_live(store, serving, publish(store, run_id).version, BY_ADMIN)


def test_promotion_loads_warms_and_then_moves_the_alias(store: Store, serving: FakeServing) -> None:
    publish(store, "r1")
    promote_live(store, serving, "v0001", BY_ADMIN)
    assert serving.paths == {"v0001": adapter_dir(store.data_dir, "v0001")}
    assert [request.adapter for request in serving.asked] == ["v0001"]
    assert production_version(store) == "v0001"


def test_the_version_before_stays_loaded_and_older_ones_go(
    store: Store, serving: FakeServing
) -> None:
    promote_three(store, serving)
    assert set(serving.loaded()) == {"v0001", "v0002", "v0003"}
    promote_live(store, serving, publish(store, "r4").version, BY_ADMIN)
    assert set(serving.loaded()) == {"v0002", "v0003", "v0004"}


def test_rolling_back_needs_no_new_load(store: Store, serving: FakeServing) -> None:
    promote_three(store, serving)
    loads: list[str] = []
    serving.on_load = loads.append
    for version in ("v0002", "v0001", None):
        roll_back_live(store, serving, "admin")
        assert production_version(store) == version
    assert loads == []


def test_what_answered_a_moment_ago_stays_for_turns_that_chose_it(
    store: Store, serving: FakeServing
) -> None:
    promote_three(store, serving)
    roll_back_live(store, serving, "admin")
    assert "v0003" in serving.loaded()


def test_a_promotion_counts_when_only_the_tidying_after_it_fails(
    store: Store, serving: FakeServing, caplog: pytest.LogCaptureFixture
) -> None:
    promote_three(store, serving)
    version = publish(store, "r4").version
    serving.unload = _refuse_to_unload  # type: ignore[method-assign]
    event = promote_live(store, serving, version, BY_ADMIN)
    assert (event.to_version, production_version(store)) == (version, version)
    assert "v0001" in serving.loaded()
    assert "could not be unloaded" in caplog.text
    assert roll_back_live(store, serving, "admin").to_version == "v0003"


def _refuse_to_unload(_name: str) -> None:
    raise AdapterRefused("timed_out", "The model server gave no answer.")


@pytest.mark.parametrize(("voice", "code"), [("no-op", "no_effect"), ("noise", "bad_adapter")])
def test_an_adapter_that_the_engine_refuses_changes_nothing(
    store: Store, serving: FakeServing, voice: str, code: str
) -> None:
    promote_live(store, serving, publish(store, "r1").version, BY_ADMIN)
    publish(store, "r2", voice=voice)
    with pytest.raises(AdapterRefused) as caught:
        promote_live(store, serving, "v0002", BY_ADMIN)
    assert caught.value.code == code
    assert production_version(store) == "v0001"
    assert serving.loaded() == ("v0001",)


def test_an_adapter_of_another_base_is_refused(store: Store) -> None:
    publish(store, "r1")
    with pytest.raises(RegistryError, match="trained on starter, but kanana is serving") as caught:
        promote_live(store, FakeServing(base_model="kanana"), "v0001", BY_ADMIN)
    assert caught.value.code == "wrong_base"


def test_a_refused_version_is_not_even_loaded(store: Store, serving: FakeServing) -> None:
    publish(store, "r1", outcome="fail")
    with pytest.raises(RegistryError):
        promote_live(store, serving, "v0001", BY_ADMIN)
    assert serving.loaded() == ()
    promote_live(store, serving, "v0001", Promotion("admin", "I read all answers", True))
    assert production_version(store) == "v0001"


def test_the_base_can_be_promoted_live(store: Store, serving: FakeServing) -> None:
    promote_live(store, serving, publish(store, "r1").version, BY_ADMIN)
    promote_live(store, serving, None, BY_ADMIN)
    assert production_version(store) is None


def test_reconcile_makes_a_fresh_engine_match_the_alias(store: Store) -> None:
    promote_three(store, FakeServing())
    fresh = FakeServing()
    found = reconcile(store, store.data_dir, fresh, is_start=True)
    assert (found.production, found.notes) == ("v0003", ())
    assert set(fresh.loaded()) == {"v0002", "v0003"}


def test_reconcile_twice_is_reconcile_once(store: Store) -> None:
    promote_three(store, FakeServing())
    fresh = FakeServing()
    reconcile(store, store.data_dir, fresh)
    before = store.list_alias_events(PRODUCTION)
    assert reconcile(store, store.data_dir, fresh).notes == ()
    assert store.list_alias_events(PRODUCTION) == before


def test_a_damaged_production_falls_back_to_the_last_good_version_and_says_so(
    store: Store,
) -> None:
    promote_three(store, FakeServing())
    for version in ("v0003", "v0002"):
        (adapter_dir(store.data_dir, version) / "adapter_model.safetensors").write_text("goof")
    fresh = FakeServing()
    found = reconcile(store, store.data_dir, fresh)
    assert found.production == "v0001"
    assert fresh.loaded() == ("v0001",)
    assert found.notes[0].startswith("v0003 cannot answer, v0001 does: ")
    assert "adapter_model.safetensors" in found.notes[0]
    event = store.list_alias_events(PRODUCTION)[0]
    assert (event.actor, event.to_version) == ("reconcile", "v0001")


def test_a_production_that_the_engine_refuses_falls_back_to_the_base(store: Store) -> None:
    publish(store, "r1", voice="no-op")
    promote(store, "v0001", "admin", "before the proof existed")
    found = reconcile(store, store.data_dir, FakeServing())
    assert found.production is None
    assert "its tensors fit nowhere" in found.notes[0]


def test_starting_once_with_another_base_model_demotes_nothing(store: Store) -> None:
    promote_three(store, FakeServing())
    before = store.list_alias_events(PRODUCTION)
    found = reconcile(store, store.data_dir, FakeServing(base_model="kanana"), is_start=True)
    assert found.production is None
    assert "kanana is serving" in found.waiting["v0003"].message
    assert "the base model does" in found.notes[0]
    assert store.list_alias_events(PRODUCTION) == before
    back = FakeServing()
    assert reconcile(store, store.data_dir, back, is_start=True).production == "v0003"
    assert set(back.loaded()) == {"v0002", "v0003"}


def test_a_folder_that_is_not_mounted_demotes_nothing(store: Store) -> None:
    promote_three(store, FakeServing())
    folder = adapter_dir(store.data_dir, "v0003")
    hidden = folder.rename(store.data_dir / "elsewhere")
    found = reconcile(store, store.data_dir, FakeServing(), is_start=True)
    assert found.production is None
    assert production_version(store) == "v0003"
    hidden.rename(folder)
    assert reconcile(store, store.data_dir, FakeServing(), is_start=True).production == "v0003"


def test_a_trial_that_cannot_be_served_now_rests(store: Store) -> None:
    publish(store, "r1")
    store.set_alias(CANARY, "v0001", actor="admin", reason="let us see", share=0.2)
    found = reconcile(store, store.data_dir, FakeServing(base_model="kanana"))
    assert "rests" in found.notes[0]
    assert store.get_alias(CANARY) == "v0001"


def publish_measured(store: Store, run_id: str, trained: float) -> str:
    """A version whose training measured this difference to the base; the engine finds 0.25."""
    run = replace(add_run(store, run_id), result={RESULT_KEY: trained})
    return publish_adapter(store, store.data_dir, run, make_report(), PASSED).version


def test_what_is_served_must_be_what_was_trained(store: Store, serving: FakeServing) -> None:
    promote_live(store, serving, publish_measured(store, "r1", 0.26), BY_ADMIN)
    publish_measured(store, "r2", 0.9)
    with pytest.raises(RegistryError, match="v0002 is not what was trained") as caught:
        promote_live(store, serving, "v0002", BY_ADMIN)
    assert caught.value.code == "differs_from_training"
    assert production_version(store) == "v0001"
    assert serving.loaded() == ("v0001",)


def test_after_a_restart_it_is_proven_again(store: Store) -> None:
    """The engine that comes back applies another adapter than the one that was trained."""
    promote_live(store, FakeServing(), publish_measured(store, "r1", 0.26), BY_ADMIN)
    promote_live(store, FakeServing(), publish_measured(store, "r2", 0.24), BY_ADMIN)
    changed = FakeServing()
    changed.difference = 0.01
    found = reconcile(store, store.data_dir, changed, is_start=True)
    assert found.production is None
    assert "v0002 is not what was trained" in found.notes[0]
    assert changed.loaded() == ()


class Dying(FakeServing):
    """An engine that is going down."""

    def load(self, name: str, path: Path) -> float:
        raise AdapterRefused("died", "The engine has died.")


def test_a_dying_engine_demotes_nothing(store: Store) -> None:
    promote_live(store, FakeServing(), publish(store, "r1").version, BY_ADMIN)
    with pytest.raises(AdapterRefused, match="died"):
        reconcile(store, store.data_dir, Dying())
    assert production_version(store) == "v0001"


def test_candidates_of_a_killed_retrain_are_forgotten_at_the_start_only(
    store: Store, serving: FakeServing
) -> None:
    run = add_run(store, "r1")
    folder = store.data_dir / "runs" / run.run_id / "adapter"
    serving.load("candidate-r1", folder)
    reconcile(store, store.data_dir, serving)
    assert serving.loaded() == ("candidate-r1",)
    found = reconcile(store, store.data_dir, serving, is_start=True)
    assert serving.loaded() == ()
    assert "candidate-r1" in found.notes[0]


def run_points(work_dir: Path, first: int, step: int) -> list[str]:
    command = [sys.executable, "-m", "tests.finetune.kill_points"]
    ended = subprocess.run(
        [*command, str(work_dir), str(first), str(step)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines() + ended.stderr.splitlines()


def test_the_invariants_hold_when_killed_at_points_all_over(tmp_path: Path) -> None:
    told = run_points(tmp_path, 0, 150)
    assert len(told) == 1, told
    assert int(told[0].split()[0]) > 5


@pytest.mark.slow
def test_the_invariants_hold_when_killed_at_every_second_line(tmp_path: Path) -> None:
    told = run_points(tmp_path, 0, 2)
    assert len(told) == 1, told
    assert int(told[0].split()[0]) > 600
