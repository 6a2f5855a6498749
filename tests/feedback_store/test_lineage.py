"""Lineage: from an answer back to what it was learned from, and from a person onward."""

import pytest

from feedback_store.errors import NotFound
from feedback_store.records import Lineage
from feedback_store.store import Store
from tests.feedback_store import records


@pytest.fixture
def trained(store: Store) -> Store:
    """Turns 1 and 2 (Ann's) became examples; 1 and an import went into d1, hence v0001."""
    store.add_conversation(records.conversation("c1", "ann"))
    for _ in range(2):
        turn = store.add_turn(records.turn("c1"))
        store.add_examples([records.example(f"{turn.turn_id}", turn_id=turn.turn_id)])
    store.add_examples([records.example("imported", person_id="import")])
    store.add_dataset(records.dataset("d1"), [(1, "train"), (3, "validation")])
    store.add_dataset(records.dataset("d2"), [(1, "train"), (2, "train")])
    store.add_run(records.run("r1", "d1"))
    store.add_run(records.run("r2", "d2"))
    store.add_adapter(records.adapter("v0001", run_id="r1", dataset_id="d1"))
    store.add_conversation(records.conversation("c2", "bob"))
    store.add_turn(records.turn("c2", adapter="v0001"))
    store.add_turn(records.turn("c2"))
    return store


def test_behind_an_answer_stand_its_adapter_dataset_examples_and_turns(trained: Store) -> None:
    behind = Lineage(
        turn_ids=(1,),
        example_ids=(1, 3),
        dataset_ids=("d1",),
        run_ids=("r1",),
        adapters=("v0001",),
    )
    assert trained.sources_of_turn(3) == behind
    assert trained.sources_of_adapter("v0001") == behind


def test_behind_an_answer_of_the_base_stands_nothing(trained: Store) -> None:
    assert trained.sources_of_turn(4) == Lineage()


def test_a_turn_and_a_person_lead_to_every_dataset_and_adapter(trained: Store) -> None:
    assert trained.uses_of_turn(1) == Lineage(
        turn_ids=(1,),
        example_ids=(1,),
        dataset_ids=("d1", "d2"),
        run_ids=("r1", "r2"),
        adapters=("v0001",),
    )
    assert trained.uses_of_turn(2).dataset_ids == ("d2",)
    assert trained.uses_of_person("ann").example_ids == (1, 2)
    assert trained.uses_of_person("ann").adapters == ("v0001",)
    assert trained.uses_of_person("bob") == Lineage(turn_ids=(3, 4))


def test_lineage_of_what_does_not_exist_is_refused(trained: Store) -> None:
    with pytest.raises(NotFound):
        trained.sources_of_turn(99)
    with pytest.raises(NotFound):
        trained.sources_of_adapter("v0099")
