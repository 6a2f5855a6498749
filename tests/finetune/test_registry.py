"""Versions and the alias that says which one answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, adapter_dir, verify_adapter
from finetune.registry import (
    PRODUCTION,
    adopt_orphans,
    list_versions,
    previous_version,
    production_version,
    promote,
    publish_adapter,
    retire,
)
from finetune.report import Report
from tests.finetune.published import PASSED, add_run, folders, make_report, publish


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


def roll_back(store: Store, actor: str) -> None:
    """Move the alias only, as swap.py does once the version is loaded."""
    store.set_alias(PRODUCTION, previous_version(store), actor=actor, reason="rolled back")


def raised_code(call: object, *args: object, **options: object) -> str:
    with pytest.raises(RegistryError) as caught:
        call(*args, **options)  # type: ignore[operator]
    assert str(caught.value).endswith((".", "…"))
    return caught.value.code


def test_publishing_keeps_everything_that_led_to_the_version(store: Store) -> None:
    run = add_run(store, "r1")
    adapter = publish_adapter(store, store.data_dir, run, make_report(), PASSED)
    manifest = verify_adapter(Path(adapter.path))
    assert (adapter.version, adapter.state, adapter.run_id) == ("v0001", "passed", "r1")
    assert Path(adapter.path).is_absolute()
    assert manifest["recipe"] == {"r": 8}
    assert manifest["result"] == {"eval_loss": 1.25}
    assert manifest["dataset_id"] == "d1"
    assert manifest["base_model"] == "starter"
    assert manifest["report"] == adapter.report
    assert manifest["verdict"] == adapter.verdict
    assert Report.from_dict(adapter.report).adapter == "v0001"
    assert store.get_adapter("v0001") == adapter


@pytest.mark.parametrize("outcome", ["fail", "incomplete"])
def test_a_refused_candidate_is_a_version_that_does_not_answer(store: Store, outcome: str) -> None:
    adapter = publish(store, "r1", outcome=outcome)  # type: ignore[arg-type]
    assert adapter.state == "refused"
    assert production_version(store) is None
    assert raised_code(promote, store, "v0001", "admin", "hope") == "not_passed"


def test_versions_count_up_and_are_never_used_again(store: Store) -> None:
    assert [publish(store, f"r{n}").version for n in range(3)] == ["v0001", "v0002", "v0003"]
    shutil.rmtree(adapter_dir(store.data_dir, "v0003"))
    assert publish(store, "r4").version == "v0004"


def test_the_base_answers_until_something_is_promoted(store: Store) -> None:
    publish(store, "r1")
    assert production_version(store) is None
    event = promote(store, "v0001", "admin", "looks good")
    assert production_version(store) == "v0001"
    assert (event.from_version, event.to_version, event.actor) == (None, "v0001", "admin")


def test_promoting_what_does_not_exist_says_what_does(store: Store) -> None:
    publish(store, "r1")
    with pytest.raises(RegistryError, match=r"v0009.*v0001"):
        promote(store, "v0009", "admin", "typo")


def test_promoting_twice_is_told(store: Store) -> None:
    publish(store, "r1")
    promote(store, "v0001", "admin", "good")
    assert raised_code(promote, store, "v0001", "admin", "good") == "already_production"
    assert len(store.list_alias_events(PRODUCTION)) == 1


def test_a_flipped_byte_keeps_a_version_from_being_promoted(store: Store) -> None:
    adapter = publish(store, "r1")
    (Path(adapter.path) / "adapter_model.safetensors").write_text("gooe")
    with pytest.raises(RegistryError, match=r"adapter_model\.safetensors") as caught:
        promote(store, "v0001", "admin", "good")
    assert caught.value.code == "changed_file"
    assert production_version(store) is None


def test_a_refused_version_can_be_promoted_with_a_typed_reason_that_is_kept(store: Store) -> None:
    publish(store, "r1", outcome="fail")
    assert raised_code(promote, store, "v0001", "a", "  ok  ", override=True) == "reason_needed"
    promote(store, "v0001", "admin", "read all 48 answers myself", override=True)
    assert production_version(store) == "v0001"
    event = store.list_alias_events(PRODUCTION)[0]
    assert event.reason == "override: read all 48 answers myself"


def test_the_base_can_be_promoted(store: Store) -> None:
    publish(store, "r1")
    promote(store, "v0001", "admin", "good")
    promote(store, None, "admin", "start again")
    assert production_version(store) is None
    assert raised_code(promote, store, None, "admin", "again") == "already_production"


def test_rolling_back_goes_one_step_each_time_down_to_the_base(store: Store) -> None:
    for run_id in ("r1", "r2", "r3"):
        version = publish(store, run_id).version
        promote(store, version, "loop", "passed")
    seen = []
    while production_version(store) is not None:
        roll_back(store, "admin")
        seen.append(production_version(store))
    assert seen == ["v0002", "v0001", None]
    assert raised_code(roll_back, store, "admin") == "nothing_to_roll_back"


def test_rolling_back_after_a_new_promotion_skips_what_was_rolled_away_from(store: Store) -> None:
    for run_id in ("r1", "r2", "r3"):
        publish(store, run_id)
    promote(store, "v0001", "loop", "passed")
    promote(store, "v0002", "loop", "passed")
    roll_back(store, "admin")
    promote(store, "v0003", "loop", "passed")
    assert previous_version(store) == "v0001"


def test_rolling_back_skips_a_damaged_version(store: Store) -> None:
    for run_id in ("r1", "r2", "r3"):
        promote(store, publish(store, run_id).version, "loop", "passed")
    (adapter_dir(store.data_dir, "v0002") / "adapter_config.json").write_text("{}")
    roll_back(store, "admin")
    assert production_version(store) == "v0001"


def test_a_retired_version_cannot_be_promoted(store: Store) -> None:
    publish(store, "r1")
    retire(store, "v0001")
    assert raised_code(promote, store, "v0001", "admin", "good") == "retired"
    assert adapter_dir(store.data_dir, "v0001").exists()


def test_production_and_the_way_back_cannot_be_retired(store: Store) -> None:
    for run_id in ("r1", "r2", "r3"):
        promote(store, publish(store, run_id).version, "loop", "passed")
    assert raised_code(retire, store, "v0003") == "in_use"
    assert raised_code(retire, store, "v0002") == "in_use"
    retire(store, "v0001")
    roll_back(store, "admin")
    assert production_version(store) == "v0002"
    assert previous_version(store) is None


def test_the_history_shows_figures_verdict_and_who_promoted(store: Store) -> None:
    publish(store, "r1")
    publish(store, "r2", outcome="fail")
    promote(store, "v0001", "kim", "better")
    newest, oldest = list_versions(store)
    assert (newest.adapter.version, newest.outcome, newest.promoted_at) == ("v0002", "fail", None)
    assert newest.reasons == ("It is a fail.",)
    assert oldest.is_production
    assert not newest.is_production
    assert oldest.figures == {"valid_json": 40 / 48}
    assert (oldest.promoted_by, oldest.promoted_because) == ("kim", "better")


def test_a_published_folder_that_a_crash_kept_from_the_list_is_taken_up(
    store: Store, tmp_path: Path
) -> None:
    """As after a kill between the rename and the row, or after restoring an older database."""
    adapter = publish(store, "r1")
    with Store.open(tmp_path / "other") as other:
        shutil.copytree(store.data_dir / "adapters", other.data_dir / "adapters")
        (other.data_dir / "adapters" / ".building-1234").mkdir()
        (other.data_dir / "adapters" / "v0002").mkdir()
        assert adopt_orphans(other, other.data_dir) == ["v0001"]
        assert adopt_orphans(other, other.data_dir) == []
        taken = other.get_adapter("v0001")
        assert taken is not None
        assert (taken.report, taken.verdict, taken.state) == (
            adapter.report,
            adapter.verdict,
            "passed",
        )
        assert taken.run_id is None  # this database never saw the run
        assert folders(other.data_dir) == ["v0001", "v0002"]
        promote(other, "v0001", "admin", "restored")


def test_a_copy_of_a_version_under_another_name_is_not_taken_up(store: Store) -> None:
    publish(store, "r1")
    root = store.data_dir / "adapters"
    shutil.copytree(root / "v0001", root / "v0009")
    assert adopt_orphans(store, store.data_dir) == []


def test_a_moved_data_folder_still_serves_its_versions(tmp_path: Path) -> None:
    with Store.open(tmp_path / "before") as store:
        publish(store, "r1")
    (tmp_path / "before").rename(tmp_path / "after")
    with Store.open(tmp_path / "after") as store:
        promote(store, "v0001", "admin", "moved")
        assert production_version(store) == "v0001"
