from chatbot.ui.versions import describe_version
from feedback_store.records import Adapter, Dataset
from feedback_store.store import Store


def add_version(store: Store, dataset_id: str | None) -> str:
    adapter = Adapter(
        version=store.next_adapter_version(),
        run_id=None,
        dataset_id=dataset_id,
        base_model="starter",
        path="adapters/v",
        created_at="2026-11-21T05:14:56.123Z",
    )
    return store.add_adapter(adapter).version


def test_a_version_tells_how_many_examples_it_learned_from(store: Store) -> None:
    store.add_dataset(
        Dataset(dataset_id="d1", path="datasets/d1", num_train=90, num_validation=10), []
    )
    note = describe_version(store, add_version(store, "d1"), "en")
    assert note == "Learned from 100 examples · 2026-11-21"


def test_a_version_without_its_dataset_tells_when_it_was_trained(store: Store) -> None:
    assert describe_version(store, add_version(store, None), "en") == "Trained on 2026-11-21"


def test_an_unknown_version_tells_nothing(store: Store) -> None:
    assert describe_version(store, "v0099", "en") == ""
