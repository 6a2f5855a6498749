"""The store as its callers see it: each record kept, changed and found again."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from feedback_store.errors import Locked, NotFound, StoreError
from feedback_store.records import NewFeedback, RunMetric
from feedback_store.store import Store
from tests.feedback_store import records


def test_a_conversation_comes_back_as_it_was_added(store: Store) -> None:
    added = store.add_conversation(records.conversation(title="첫 대화"))
    assert store.get_conversation("c1") == added
    assert added.created_at.endswith("Z")
    assert store.get_conversation("other") is None


def test_a_turn_comes_back_as_it_was_added(store: Store) -> None:
    store.add_conversation(records.conversation())
    added = store.add_turn(records.turn(sampling={"temperature": 0.7, "seed": 3}))
    assert store.get_turn(added.turn_id) == added
    assert added.recommendation == records.RECOMMENDATION
    assert added.messages == ({"role": "user", "content": "추천해 주세요"},)


def test_turns_count_up_within_their_conversation(store: Store) -> None:
    for name in ("c1", "c2"):
        store.add_conversation(records.conversation(name))
    for name in ("c1", "c2", "c1"):
        store.add_turn(records.turn(name))
    assert [turn.position for turn in store.list_turns("c1")] == [1, 2]
    assert [turn.position for turn in store.list_turns("c2")] == [1]
    assert [store.count_turns(name) for name in ("c1", "c2", "nowhere")] == [2, 1, 0]


def test_a_turn_of_an_unknown_conversation_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="no conversation 'nowhere'"):
        store.add_turn(records.turn("nowhere"))


def test_a_turn_moves_its_conversation_to_the_top_and_to_its_category(store: Store) -> None:
    for name in ("c1", "c2", "c3"):
        store.add_conversation(records.conversation(name))
        time.sleep(0.002)
    store.add_turn(records.turn("c1", category="VEGAN"))
    assert [c.conversation_id for c in store.list_conversations("ann")] == ["c1", "c3", "c2"]
    top = store.list_conversations("ann", limit=1)[0]
    assert (top.category, top.first_category) == ("VEGAN", "ZERO_WASTE")
    below = store.list_conversations("ann", before="c1")
    assert [c.conversation_id for c in below] == ["c3", "c2"]


def test_conversations_are_found_by_title_and_by_what_was_said(store: Store) -> None:
    store.add_conversation(records.conversation("c1", title="바닷가 산책"))
    store.add_conversation(records.conversation("c2"))
    store.add_conversation(records.conversation("c3", "bob"))
    store.add_turn(records.turn("c2", "바다에서 뭐 하지"))
    store.add_turn(records.turn("c3", "바다"))
    found = store.list_conversations("ann", query="바")
    assert {c.conversation_id for c in found} == {"c1", "c2"}
    assert store.list_conversations("ann", query="없는말") == []
    assert store.list_conversations("ann", query="?!") == []


def test_updating_a_conversation_changes_only_what_is_named(store: Store) -> None:
    before = store.add_conversation(records.conversation(title="a"))
    after = store.update_conversation("c1", title="나", may_train=True)
    assert (after.title, after.may_train, after.category) == ("나", True, before.category)
    with pytest.raises(NotFound):
        store.update_conversation("nowhere", title="x")


def test_new_feedback_replaces_the_persons_own_and_keeps_it(store: Store) -> None:
    store.add_conversation(records.conversation())
    turn_id = store.add_turn(records.turn()).turn_id
    first = store.set_feedback(NewFeedback(turn_id=turn_id, person_id="ann", rating="like"))
    other = store.set_feedback(NewFeedback(turn_id=turn_id, person_id="bob", rating="like"))
    second = store.set_feedback(
        NewFeedback(turn_id=turn_id, person_id="ann", rating="dislike", reasons=("wrong", "dull"))
    )
    assert store.get_feedback(turn_id, "ann") == second
    assert store.get_feedback(turn_id, "bob") == other
    assert store.get_feedback(turn_id) == second
    history = [(f.feedback_id, f.is_current) for f in store.list_feedback(turn_id)]
    assert history == [(first.feedback_id, False), (other.feedback_id, True), (3, True)]
    rated = store.list_rated_turns(after_feedback_id=other.feedback_id)
    assert [feedback for _, feedback, _ in rated] == [second]


def test_feedback_on_an_unknown_turn_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="no turn 99"):
        store.set_feedback(NewFeedback(turn_id=99, person_id="ann", rating="like"))


def test_a_dataset_keeps_which_example_lies_in_which_split(store: Store) -> None:
    rows = [(1, "train"), (2, "validation"), (7, "train")]
    added = store.add_dataset(records.dataset(manifest={"seed": 1}), iter(rows))
    assert store.get_dataset("d1") == added
    assert store.list_dataset_rows("d1") == rows
    assert store.list_datasets() == [added]


def test_a_run_is_kept_changed_and_measured(store: Store) -> None:
    store.add_dataset(records.dataset(), [])
    store.add_run(records.run())
    changed = store.update_run("r1", state="running", pid=42, process_started_at=1.5)
    assert store.get_run("r1") == changed
    assert (changed.state, changed.pid) == ("running", 42)
    store.add_run_metrics([RunMetric("r1", 2, "loss", 0.5), RunMetric("r1", 1, "loss", 0.9)])
    store.add_run_metrics([RunMetric("r1", 2, "loss", 0.4), RunMetric("r1", 2, "eval_loss", 0.6)])
    assert [m.value for m in store.list_run_metrics("r1", "loss")] == [0.9, 0.4]
    assert len(store.list_run_metrics("r1")) == 3
    with pytest.raises(NotFound):
        store.update_run("nowhere", state="done")


def test_adapter_versions_are_never_handed_out_twice(store: Store) -> None:
    assert [store.next_adapter_version() for _ in range(2)] == ["v0001", "v0002"]
    (store.data_dir / "adapters" / "v0007").mkdir(parents=True)
    assert [store.next_adapter_version() for _ in range(2)] == ["v0008", "v0009"]


def test_an_alias_moves_with_an_event_for_each_move(store: Store) -> None:
    for version in ("v0001", "v0002"):
        store.add_adapter(records.adapter(version))
    assert store.get_alias("production") is None
    store.set_alias("production", "v0001", actor="ann", reason="passed")
    store.set_alias("production", None, actor="bob", reason="back to the base")
    assert store.get_alias("production") is None
    moves = [(e.from_version, e.to_version, e.actor) for e in store.list_alias_events("production")]
    assert moves == [("v0001", None, "bob"), (None, "v0001", "ann")]
    with pytest.raises(NotFound):
        store.set_alias("production", "v0099", actor="ann", reason="?")


def test_adapters_come_newest_first_and_take_their_report(store: Store) -> None:
    for version in ("v0001", "v0002"):
        store.add_adapter(records.adapter(version))
    store.update_adapter("v0001", report={"exact": 0.7}, state="passed")
    assert [a.version for a in store.list_adapters()] == ["v0002", "v0001"]
    assert store.get_adapter("v0001") == store.list_adapters()[1]
    assert store.list_adapters()[1].report == {"exact": 0.7}


def test_a_second_store_on_the_folder_is_refused_by_name_and_pid(store: Store) -> None:
    start = time.monotonic()
    with pytest.raises(Locked, match=r"ecoloop \(pid \d+\)") as caught:
        Store.open(store.data_dir)
    assert caught.value.code == "locked"
    assert time.monotonic() - start < 1


def test_the_owner_is_known_while_the_store_is_open(tmp_path: Path) -> None:
    assert Store.owner(tmp_path) is None
    with Store.open(tmp_path, name="studio") as store:
        store.describe_owner(url="http://127.0.0.1:7860")
        owner = Store.owner(tmp_path) or {}
        assert (owner["name"], owner["url"]) == ("studio", "http://127.0.0.1:7860")
    assert Store.owner(tmp_path) is None


def test_a_closed_store_refuses_with_a_sentence(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.close()
    for use in (lambda: store.get_turn(1), lambda: store.next_adapter_version()):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_many_threads_write_and_read_at_once(store: Store) -> None:
    store.add_conversation(records.conversation())

    def produce() -> None:
        for _ in range(20):
            turn = store.add_turn(records.turn())
            assert store.get_turn(turn.turn_id) == turn

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [turn.position for turn in store.list_turns("c1")] == list(range(1, 161))


def test_appending_a_turn_keeps_its_new_conversation_and_its_consent(store: Store) -> None:
    first = store.append_turn(records.turn("c1"), begun=records.conversation("c1")).result()
    store.append_turn(records.turn("c1"), may_train=True).result()
    conversation = store.get_conversation("c1")
    assert [turn.position for turn in store.list_turns("c1")] == [1, 2]
    assert first.turn_id
    assert conversation
    assert conversation.may_train


def test_nobody_can_cancel_a_turn_that_is_being_kept(store: Store) -> None:
    writing = store.append_turn(records.turn("c1"), begun=records.conversation("c1"))
    assert not writing.cancel()
    assert writing.result().position == 1


def test_a_turn_of_a_conversation_that_was_deleted_meanwhile_is_not_kept(store: Store) -> None:
    store.append_turn(records.turn("c1"), begun=records.conversation("c1")).result()
    store.delete_conversation("c1")
    with pytest.raises(NotFound):
        store.append_turn(records.turn("c1")).result()
    assert store.get_conversation("c1") is None


def asked(store: Store, **bounds: Any) -> list[tuple[int, str | None]]:
    found = store.list_exchanges("c1", **{"limit": 3, **bounds})
    return [(exchange.turn_id, exchange.question) for exchange in found]


def test_the_last_exchanges_come_in_order_with_later_tries_of_them(store: Store) -> None:
    store.add_conversation(records.conversation())
    ids = [store.add_turn(records.turn(user_text=f"q{number}")).turn_id for number in range(5)]
    far = store.add_turn(records.turn(user_text="q0", retry_of=ids[0])).turn_id
    near = store.add_turn(records.turn(user_text="q4", retry_of=ids[4])).turn_id
    again = store.add_turn(records.turn(user_text="q4", retry_of=near)).turn_id
    everything = [*((id_, f"q{n}") for n, id_ in enumerate(ids)), (far, "q0"), (near, "q4")]
    assert asked(store, limit=20) == [*everything, (again, "q4")]
    assert asked(store) == [(far, "q0"), (near, "q4"), (again, "q4")]
    assert asked(store, before_turn=again) == [(ids[1], "q1"), (ids[2], "q2"), (ids[3], "q3")]
    assert asked(store, before_turn=ids[2]) == [(ids[0], "q0"), (ids[1], "q1"), (far, "q0")]
    assert asked(store, before_turn=far) == []
    [last] = store.list_exchanges("c1", limit=1)
    assert (last.retry_of, last.status, last.recommendation) == (near, "ok", records.RECOMMENDATION)
    assert store.list_exchanges("none", limit=3) == []
    assert asked(store, before_turn=999) == []
