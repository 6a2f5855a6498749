"""Which version answers which conversation, while promotions, rollbacks and trials come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_store.store import Store
from finetune.adapter_folder import RegistryError
from finetune.canary import CanarySettings
from tests.finetune.fake_serving import FakeServing
from tests.finetune.published import publish
from tests.finetune.test_canary import rate_all
from wiring.live_versions import LiveVersions

TALKS = [f"talk{number}" for number in range(400)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        for run_id in ("r1", "r2", "r3"):
            publish(opened, run_id)
        yield opened


def make_versions(store: Store) -> LiveVersions:
    return LiveVersions(store, store.data_dir, FakeServing(), CanarySettings())


@pytest.fixture
def versions(store: Store) -> LiveVersions:
    """v0001 answers, v0002 is on trial with a quarter."""
    made = make_versions(store)
    made.promote("v0001", actor="admin", reason="begin")
    made.start_canary("v0002", 0.25, actor="admin", reason="let us see")
    return made


def answered_by(versions: LiveVersions) -> dict[str, str]:
    chosen = {talk: versions.choose(talk) for talk in TALKS}
    return {talk: ref.name if ref else "" for talk, ref in chosen.items()}


def test_without_a_version_the_base_answers_everyone(store: Store) -> None:
    assert set(answered_by(make_versions(store)).values()) == {""}


def test_a_share_of_the_conversations_talks_with_the_trial(versions: LiveVersions) -> None:
    answers = answered_by(versions)
    assert set(answers.values()) == {"v0001", "v0002"}
    assert 0.18 < list(answers.values()).count("v0002") / len(answers) < 0.32
    assert answered_by(versions) == answers


def test_a_restart_gives_every_conversation_its_version_again(
    versions: LiveVersions, store: Store
) -> None:
    before = answered_by(versions)
    again = make_versions(store)
    assert set(answered_by(again).values()) == {""}  # nothing is proven yet
    again.reconcile(is_start=True)
    assert answered_by(again) == before


def test_with_another_base_model_the_base_answers_until_the_old_one_is_back(
    versions: LiveVersions, store: Store
) -> None:
    before = answered_by(versions)
    other = LiveVersions(store, store.data_dir, FakeServing(base_model="kanana"), CanarySettings())
    other.reconcile(is_start=True)
    assert set(answered_by(other).values()) == {""}
    waiting = other.waiting()
    assert waiting is not None
    assert "kanana is serving" in waiting.message
    assert (waiting.code, waiting.values["serving"]) == ("wrong_base", "kanana")
    assert other.production() == "v0001"
    again = make_versions(store)
    again.reconcile(is_start=True)
    assert (answered_by(again), again.waiting()) == (before, None)


def test_the_end_of_a_trial_brings_everyone_back_to_production(versions: LiveVersions) -> None:
    versions.stop_canary(actor="admin", reason="enough")
    assert set(answered_by(versions).values()) == {"v0001"}
    assert versions.canary().decision == "none"


def test_a_worse_version_is_taken_back_by_the_next_look(
    versions: LiveVersions, store: Store
) -> None:
    rate_all(store, 60, "dislike", "like")
    versions.reconcile()
    assert set(answered_by(versions).values()) == {"v0001"}
    assert "People like it less" in store.list_alias_events("canary")[0].reason


def test_a_better_version_is_promoted_by_the_next_look(
    versions: LiveVersions, store: Store
) -> None:
    rate_all(store, 60, "like", "dislike")
    versions.reconcile()
    assert set(answered_by(versions).values()) == {"v0002"}
    assert versions.production() == "v0002"


def test_a_promotion_ends_the_trial_against_what_was_production(versions: LiveVersions) -> None:
    versions.promote("v0003", actor="admin", reason="by hand")
    assert set(answered_by(versions).values()) == {"v0003"}
    assert versions.roll_back(actor="admin") == "v0001"
    assert set(answered_by(versions).values()) == {"v0001"}


def test_what_is_on_trial_can_be_promoted_by_hand(versions: LiveVersions, store: Store) -> None:
    versions.promote("v0002", actor="admin", reason="good enough")
    assert set(answered_by(versions).values()) == {"v0002"}
    assert store.get_alias("canary") is None


def test_what_is_on_trial_cannot_be_retired(versions: LiveVersions, store: Store) -> None:
    with pytest.raises(RegistryError, match="on trial"):
        versions.retire("v0002")
    versions.stop_canary(actor="admin", reason="enough")
    versions.retire("v0002")
    adapter = store.get_adapter("v0002")
    assert adapter is not None
    assert adapter.state == "retired"


def test_an_adapter_is_exported_with_its_card_once(versions: LiveVersions, store: Store) -> None:
    folder = Path(versions.export("v0003"))
    assert folder == store.data_dir / "exports" / "v0003"
    assert {item.name for item in folder.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert versions.export("v0003") == str(folder)
    with pytest.raises(RegistryError, match="no adapter"):
        versions.export("../exports/v0003")


def test_a_trial_that_cannot_be_looked_at_goes_on(
    versions: LiveVersions, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    before = answered_by(versions)
    monkeypatch.setattr("wiring.live_versions.step_canary", fail)
    versions.reconcile()
    assert answered_by(versions) == before
