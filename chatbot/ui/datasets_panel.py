"""Dataset versions on the Curate tab: freeze, look, compare, download."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import gradio as gr

from chatbot.ui.blocks import SHORT, event_data, html_part
from chatbot.ui.datasets_view import ChangedRow, Comparison, DatasetsView, render_datasets
from chatbot.ui.event_input import read_text
from chatbot.ui.i18n import translate_error
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_admin, require_curator
from feedback_store.errors import StoreError
from feedback_store.records import Dataset, ExampleFilter
from finetune.dataset import DatasetError, freeze_dataset
from finetune.dataset_diff import (
    DatasetDiff,
    diff_datasets,
    find_dataset,
    locate_dataset,
    read_examples,
)
from finetune.selection import make_dataset_settings

NUM_CHANGED: Final = 20  # changed rows that are shown with both texts


@dataclass(frozen=True)
class DatasetsState:
    """What one curator sees of them; kept by Gradio per page."""

    is_open: bool = False
    shown_id: str = ""
    before_id: str = ""
    after_id: str = ""
    message: str = ""


CLOSED: Final = DatasetsState()


class DatasetsPanel:
    """Builds the part and answers its events, for admins and curators."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def build(self) -> None:
        """Lay out the part inside the current Blocks."""
        self.state = gr.State(CLOSED)
        self.view = html_part("curate-datasets")
        outputs = [self.view, self.state]
        self.view.act(self.on_act, inputs=[self.state], outputs=outputs, **SHORT)

    @needs("curator")
    def on_show(self, state: DatasetsState, request: gr.Request) -> tuple[str, DatasetsState]:
        """The part as it was left, with what is new."""
        person = require_curator(self.parts, request)
        return self._show(replace(state, message=""), person)

    @needs("curator")
    def on_decided(self, state: DatasetsState, request: gr.Request) -> Any:
        """An example was decided on: what can be frozen is more or less now. Draws only: what was
        pressed here meanwhile is newer than this state.
        """
        person = require_curator(self.parts, request)
        return self._show(state, person)[0] if state.is_open else gr.skip()

    @needs("curator")
    def on_act(
        self, state: DatasetsState, event: gr.EventData, request: gr.Request
    ) -> tuple[str, DatasetsState]:
        """A button, or a version picked to compare with."""
        person, data = require_curator(self.parts, request), event_data(event)
        if data.get("action") == "freeze":
            require_admin(self.parts, request)
        state = replace(state, message="")
        try:
            state = self._apply(data, state, person)
        except (DatasetError, StoreError) as error:
            state = replace(state, message=translate_error(person.lang, error.code, str(error)))
        return self._show(state, person)

    def _apply(self, data: dict[str, Any], state: DatasetsState, person: Person) -> DatasetsState:
        value = read_text(data, "value")[:64]
        match data.get("action"):
            case "fold":
                return replace(state, is_open=not state.is_open)
            case "freeze":
                store = self.parts.store
                settings = make_dataset_settings(self.parts.checks.answer_format)
                frozen = freeze_dataset(store, store.data_dir, settings)
                store.record(person.person_id, "freeze dataset", frozen.dataset_id)
                return replace(state, shown_id=frozen.dataset_id)
            case "show":
                return replace(state, shown_id="" if value == state.shown_id else value)
            case "before":
                return replace(state, before_id=value)
            case "after":
                return replace(state, after_id=value)
        return state

    def _show(self, state: DatasetsState, person: Person) -> tuple[str, DatasetsState]:
        """Freezing and downloading are for admins; a curator looks and compares."""
        store, lang = self.parts.store, person.lang
        datasets = store.list_datasets()
        comparison = None
        if state.is_open:
            try:
                comparison = self._compare(datasets, state)
            except (DatasetError, OSError) as error:
                code = getattr(error, "code", "damaged")
                state = replace(state, message=translate_error(lang, code, str(error)))
        versions: dict[str, list[str]] = {}
        for adapter in store.list_adapters() if state.is_open else ():
            versions.setdefault(adapter.dataset_id or "", []).append(adapter.version)
        view = DatasetsView(
            lang=lang,
            is_open=state.is_open,
            datasets=datasets,
            versions=versions,
            num_accepted=store.count_examples(ExampleFilter(state="accepted")),
            shown_id=state.shown_id,
            comparison=comparison,
            message=state.message,
            is_admin=person.is_admin,
        )
        return render_datasets(view), state

    def _compare(self, datasets: list[Dataset], state: DatasetsState) -> Comparison | None:
        """The two that were picked; at first the newest with the one before."""
        if len(datasets) < 2:
            return None
        store = self.parts.store
        before = find_dataset(store, state.before_id or datasets[1].dataset_id)
        after = find_dataset(store, state.after_id or datasets[0].dataset_id)
        if before.dataset_id == after.dataset_id:
            return Comparison(before.dataset_id, after.dataset_id, None)
        folders = locate_dataset(store, before), locate_dataset(store, after)
        diff, changed = _compare_folders(*folders)
        return Comparison(before.dataset_id, after.dataset_id, diff, changed)


@lru_cache(maxsize=8)  # a dataset never changes
def _compare_folders(before: Path, after: Path) -> tuple[DatasetDiff, tuple[ChangedRow, ...]]:
    diff = diff_datasets(before, after)
    ids = diff.changed[:NUM_CHANGED]
    old, new = (read_examples(folder, ids) if ids else {} for folder in (before, after))
    return diff, tuple(ChangedRow(id_, _answer(old[id_]), _answer(new[id_])) for id_ in ids)


def _answer(row: dict[str, Any]) -> str:
    return str(row["completion"][0]["content"])
