"""What is new in an adapter version, in one sentence."""

from __future__ import annotations

from chatbot.ui.i18n import t
from feedback_store.store import Store


def describe_version(store: Store, version: str, lang: str) -> str:
    """How many examples the version learned from and when; "" where the store knows nothing."""
    adapter = store.get_adapter(version)
    if adapter is None:
        return ""
    dataset = store.get_dataset(adapter.dataset_id) if adapter.dataset_id else None
    date = adapter.created_at[:10]
    if dataset is None:
        return t(lang, "version_note_plain", date=date)
    num_examples = dataset.num_train + dataset.num_validation
    return t(lang, "version_note", num=num_examples, date=date)
