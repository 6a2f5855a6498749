"""What people may ask for: their data, and to be forgotten for good."""

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feedback_store.database import DATABASE_NAME
from feedback_store.records import ExampleFilter, NewFeedback, TurnFilter
from feedback_store.sqlite import connect
from feedback_store.store import Store
from tests.feedback_store import records

SECRET = "사과나무골짜기 zanzibar"


def _fill(store: Store) -> None:
    """Ann and Bob talk; what Ann said went into an example, a dataset and an adapter."""
    for name, person in (("c1", "ann"), ("c2", "bob"), ("c3", "ann")):
        store.add_conversation(records.conversation(name, person, title=f"{person} {SECRET}"))
        for _ in range(3):
            turn = store.add_turn(records.turn(name, f"{person} {SECRET}"))
        store.set_feedback(
            NewFeedback(turn_id=turn.turn_id, person_id=person, rating="like", comment=SECRET)
        )
        store.add_examples(
            [
                records.example(
                    f"{name} {SECRET}",
                    turn_id=turn.turn_id,
                    person_id=person,
                    conversation_id=name,
                )
            ]
        )
    store.set_feedback(NewFeedback(turn_id=4, person_id="ann", rating="dislike"))
    store.set_consent("ann", kind="train", granted=True)
    store.add_dataset(records.dataset(), [(1, "train"), (2, "validation")])
    store.add_run(records.run())
    store.add_adapter(records.adapter(run_id="r1", dataset_id="d1"))


def _bytes(data_dir: Path) -> bytes:
    """Every byte of the closed database and of what lies beside it."""
    return b"".join(path.read_bytes() for path in sorted(data_dir.iterdir()) if path.is_file())


def test_the_export_is_json_with_all_of_one_person_only(store: Store) -> None:
    _fill(store)
    exported = json.loads(json.dumps(store.export_person("ann")))
    assert [c["conversation_id"] for c in exported["conversations"]] == ["c1", "c3"]
    assert len(exported["turns"]) == 6
    assert [f["rating"] for f in exported["feedback"]] == ["like", "like", "dislike"]
    assert len(exported["examples"]) == 2
    assert exported["consents"][0]["granted"] is True
    assert exported["contained_in"] == {"datasets": ["d1"], "adapters": ["v0001"]}
    assert "bob" not in json.dumps(exported)


def test_deleting_a_person_leaves_nothing_and_names_what_contains_them(store: Store) -> None:
    _fill(store)
    deletion = store.delete_person("ann")
    assert (deletion.num_conversations, deletion.num_turns, deletion.num_examples) == (2, 6, 2)
    assert deletion.num_feedback == 3
    assert deletion.still_in.dataset_ids == ("d1",)
    assert deletion.still_in.run_ids == ("r1",)
    assert deletion.still_in.adapters == ("v0001",)
    empty = {"conversations", "turns", "feedback", "examples", "consents"}
    exported = store.export_person("ann")
    assert all(exported[table] == [] for table in empty)
    assert store.search_turns("사과", TurnFilter(person_id="ann")).total == 0
    assert store.search_turns("사과").total == 3
    assert store.search_turns(filter=TurnFilter(rating="dislike")).total == 0
    assert store.count_examples(ExampleFilter(query="사과")) == 1


def test_after_deletion_no_byte_of_it_is_left_on_disk(tmp_path: Path) -> None:
    traces = (SECRET, "사과나", "사과", "나무", "zanzibar", "ann ", "ann", "616e6e")
    with Store.open(tmp_path) as store:
        _fill(store)
        store.search_turns()  # all is in the index
    assert [trace for trace in traces if trace.encode() not in _bytes(tmp_path)] == []
    with Store.open(tmp_path) as store:
        store.delete_person("bob")
        store.delete_person("ann")
    assert [trace for trace in traces if trace.encode() in _bytes(tmp_path)] == []


def test_one_conversation_can_be_deleted_alone(store: Store) -> None:
    _fill(store)
    deletion = store.delete_conversation("c1")
    assert (deletion.num_conversations, deletion.num_turns, deletion.num_examples) == (1, 3, 1)
    assert deletion.still_in.adapters == ("v0001",)
    assert [c.conversation_id for c in store.list_conversations("ann")] == ["c3"]


def test_a_restored_backup_forgets_again_but_keeps_what_came_later(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        _fill(store)
    backup = tmp_path / "old"
    shutil.copy(tmp_path / DATABASE_NAME, backup)
    with Store.open(tmp_path) as store:
        store.delete_person("ann")
        store.delete_conversation("c2")
        time.sleep(0.002)
        store.add_conversation(records.conversation("c9", "ann"))
    shutil.copy(backup, tmp_path / DATABASE_NAME)
    with Store.open(tmp_path) as store:
        assert store.list_conversations("ann") == store.list_conversations("bob") == []
        assert store.search_turns("사과").total == 0
        store.add_conversation(records.conversation("c9", "ann"))
    with Store.open(tmp_path) as store:
        assert len(store.list_conversations("ann")) == 1


def test_a_deletion_that_a_crash_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    from feedback_store.tombstones import Tombstone, hash_key, write_tombstone

    with Store.open(tmp_path) as store:
        _fill(store)
    write_tombstone(tmp_path, Tombstone("person", hash_key("ann"), "9999-01-01T00:00:00.000Z"))
    with (tmp_path / "tombstones.jsonl").open("a") as file:
        file.write('{"kind":"person","key_h')  # the crash came while the next one was written
    with Store.open(tmp_path) as store:
        assert store.export_person("ann")["turns"] == []
        assert len(store.export_person("bob")["turns"]) == 3


def _age(store: Store, conversation_id: str, days: int) -> None:
    """Make a conversation look unused for so many days."""
    at = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    store._db.write(
        lambda connection: connection.execute(
            "UPDATE conversations SET updated_at = ? WHERE conversation_id = ?",
            (at, conversation_id),
        )
    )


def test_retention_deletes_old_public_chats_but_no_accepted_example(store: Store) -> None:
    _fill(store)
    store.add_conversation(records.conversation("mine", "me", origin="studio"))
    store.decide_examples([2], state="accepted", decided_by="me")
    for name in ("c1", "c2", "mine"):
        _age(store, name, 31)
    assert store.apply_retention(days=30) == 2
    assert store.apply_retention(days=30) == 0
    left = [c.conversation_id for p in ("ann", "bob", "me") for c in store.list_conversations(p)]
    assert left == ["c3", "mine"]
    accepted = store.get_example(2)
    assert accepted is not None
    assert accepted.turn_id is None
    assert [e.example_id for e in store.iter_examples()] == [2, 3]
    assert store.search_turns("사과").total == 3


def test_chats_that_are_not_to_be_kept_go_after_a_day(store: Store) -> None:
    _fill(store)
    for name in ("c1", "c2", "c3"):
        _age(store, name, 2)
    store.set_consent("ann", conversation_id="c1", kind="keep", granted=False)
    store.set_consent("bob", kind="keep", granted=False)
    store.set_consent("bob", kind="keep", granted=True)
    assert store.apply_retention() == 1
    assert store.get_conversation("c1") is None


def test_training_is_off_until_consent_and_off_again_without_it(store: Store) -> None:
    store.add_conversation(records.conversation("c1", "ann"))
    store.add_conversation(records.conversation("c2", "ann"))
    assert not store.get_consent("ann", conversation_id="c1", kind="train")
    assert store.get_consent("ann", conversation_id="c1", kind="keep")
    store.set_consent("ann", conversation_id="c1", kind="train", granted=True)
    assert [c.may_train for c in store.list_conversations("ann")].count(True) == 1
    assert not store.get_consent("ann", conversation_id="c2", kind="train")
    store.update_conversation("c2", may_train=True)
    assert store.get_consent("ann", conversation_id="c2", kind="train")
    store.add_examples([records.example(source="feedback", conversation_id="c1")])
    store.set_consent("ann", kind="train", granted=False)
    assert [c.may_train for c in store.list_conversations("ann")] == [False, False]
    assert store.count_examples(ExampleFilter(state="excluded")) == 1


def test_deleted_ids_are_never_used_again(store: Store) -> None:
    _fill(store)
    store.delete_person("ann")
    store.add_conversation(records.conversation("c5", "cho"))
    assert store.add_turn(records.turn("c5")).turn_id == 10
    assert store.add_examples([records.example("new")]) == [4]


def test_foreign_keys_hold_after_deletion(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        _fill(store)
        store.delete_person("ann")
    connection = connect(tmp_path / DATABASE_NAME)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()
