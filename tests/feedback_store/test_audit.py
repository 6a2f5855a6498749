"""Who did what stays written, whichever way it was done."""

import pytest

from feedback_store.sqlite import connect
from feedback_store.store import Store
from tests.feedback_store import records


def actions(store: Store) -> list[tuple[str, str, str]]:
    return [(entry.actor, entry.action, entry.target) for entry in reversed(store.list_audit())]


def test_decisions_promotions_and_deletions_record_themselves(store: Store) -> None:
    ids = [
        id_ for id_ in store.add_examples([records.example(f"질문 {n}") for n in range(3)]) if id_
    ]
    store.add_adapter(records.adapter("v0001"))
    store.decide_examples(ids[:1], state="accepted", decided_by="ann")
    store.decide_examples(ids, state="excluded", decided_by="bob")
    store.undo_decision(ids[:1], decided_by="bob")
    store.set_alias("production", "v0001", actor="ann", reason="better")
    store.delete_person("ann")
    assert actions(store) == [
        ("ann", "accept", f"example {ids[0]}"),
        ("bob", "exclude", "3 examples"),
        ("bob", "undo", f"example {ids[0]}"),
        ("ann", "promote", "v0001"),
        ("privacy", "delete person", ""),
    ]
    assert store.list_audit(limit=1, action="promote")[0].detail["reason"] == "better"


def test_what_changed_nothing_is_no_entry(store: Store) -> None:
    store.decide_examples([99], state="accepted", decided_by="ann")
    store.undo_decision([99], decided_by="ann")
    assert actions(store) == []


@pytest.mark.parametrize("sql", ["DELETE FROM audit", "UPDATE audit SET actor = 'nobody'"])
def test_the_file_itself_refuses_to_change_the_log(store: Store, sql: str) -> None:
    store.record("ann", "login", name="앤")
    connection = connect(store.data_dir / "ecoloop.db")
    with pytest.raises(Exception, match="only grows"):
        connection.execute(sql)
    connection.close()
    assert len(store.list_audit()) == 1


def test_an_entry_is_never_refused_and_names_come_from_the_last_login(store: Store) -> None:
    store.record("ann", "login", name="앤")
    store.record("ann", "login", name="앤 2")
    store.record("x" * 10_000, "refused\0", "t" * 10_000, why="w" * 100_000)
    assert store.list_actor_names() == {"ann": "앤 2"}
    entry = store.list_audit(limit=1)[0]
    assert (len(entry.actor), len(entry.target), len(entry.detail["why"])) == (200, 200, 500)
    assert store.list_audit(before=entry.entry_id, limit=1)[0].detail == {"name": "앤 2"}
