"""Files of examples dropped onto the Curate tab."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import escape
from pathlib import Path
from typing import Any, Final

import gradio as gr

from chatbot.ui.blocks import QUIET, html_part
from chatbot.ui.i18n import TEXTS, t, translate_error
from chatbot.ui.icons import icon
from chatbot.ui.labels import label
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_curator
from feedback_store.errors import StoreError
from finetune.formats import ImportProgress, ImportResult, import_path
from finetune.source_files import FormatError
from finetune.starter_corpus import EXAMPLES_PATH

FILE_TYPES: Final = [".json", ".jsonl", ".csv", ".tsv", ".xlsx", ".parquet", ".txt"]
POLL_S: Final = 0.3
MAX_REASONS: Final = 6


def render_import_progress(progress: ImportProgress | None, lang: str) -> str:
    """How many rows were read so far."""
    num_rows = progress.num_rows if progress else 0
    return (
        f'<p class="eco-waiting" role="status"><span class="eco-dots" aria-hidden="true"><i></i>'
        f"<i></i><i></i></span><span>{t(lang, 'importing', num=num_rows)}</span></p>"
    )


def render_import_result(name: str, result: ImportResult, lang: str) -> str:
    """What became of every row of one file."""
    figures = (
        ("new", result.num_new),
        ("flagged", result.num_flagged),
        ("repaired", result.num_repaired),
        ("known", result.num_known),
        ("rejected", result.num_rejected),
    )
    shown = "".join(
        f'<div class="eco-figure" data-import="{key}"><b>{value:,}</b>'
        f"<span>{t(lang, f'import_{key}')}</span></div>"
        for key, value in figures
    )
    reasons = sorted(result.reasons.items(), key=lambda item: -item[1])[:MAX_REASONS]
    rows = "".join(
        f"<li>{escape(TEXTS[lang].get(f'reject_{code}', code.replace('_', ' ')))}: {count:,}</li>"
        for code, count in reasons
    )
    listing = f'<ul class="eco-reasons">{rows}</ul>' if rows else ""
    return (
        f'<div class="eco-import" role="status"><h3>{escape(name)} · '
        f"{t(lang, 'import_rows', num=result.num_rows)}</h3>"
        f'<div class="eco-figures">{shown}</div>{listing}</div>'
    )


def render_import_error(name: str, error: FormatError | StoreError, lang: str) -> str:
    """Why nothing of a file could be read."""
    sentence = translate_error(lang, error.code, str(error))
    return (
        f'<p class="eco-notice eco-notice-bad" role="alert">{icon("warn")}'
        f"<span>{escape(name)}: {escape(sentence)}</span></p>"
    )


class ImportPanel:
    """The place to drop files, and what became of them. For admins and curators."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def build(self) -> None:
        """Lay out the panel inside the current Blocks."""
        with gr.Column(elem_classes="eco-import-box"):
            self.files = gr.File(
                label=label("import_title"),
                file_count="multiple",
                file_types=list(FILE_TYPES),
                elem_id="curate-import",
                height=150,
            )
            self.starter = gr.Button(
                label("import_starter"), elem_id="curate-starter", variant="secondary", size="md"
            )
            self.result = html_part("curate-import-result")

    def wire(self, after: Any, inputs: list[Any], outputs: list[Any]) -> None:
        """Import what is dropped, then show the queue again by `after`."""
        shown = [self.files, self.result]
        dropped = self.files.upload(
            self.on_upload, inputs=[self.files], outputs=shown, concurrency_limit=2, **QUIET
        )
        clicked = self.starter.click(self.on_starter, outputs=shown, concurrency_limit=2, **QUIET)
        for event in (dropped, clicked):
            event.then(after, inputs=inputs, outputs=outputs, concurrency_limit=32, **QUIET)

    @needs("curator")
    async def on_starter(self, request: gr.Request) -> AsyncIterator[tuple[Any, str]]:
        """The examples that ship with the project, for people who have none of their own yet."""
        async for shown in self.on_upload([str(EXAMPLES_PATH)], request):
            yield shown

    @needs("curator")
    async def on_upload(
        self, paths: list[str] | None, request: gr.Request
    ) -> AsyncIterator[tuple[Any, str]]:
        """One file after the other, with the rows counted on the way."""
        person = require_curator(self.parts, request)
        done = ""
        for path in map(Path, paths or []):
            latest: list[ImportProgress] = []
            task = asyncio.create_task(
                asyncio.to_thread(import_path, self.parts.store, path, on_progress=latest.append)
            )
            while not (await asyncio.wait({task}, timeout=POLL_S))[0]:
                shown = render_import_progress(latest[-1] if latest else None, person.lang)
                yield gr.skip(), done + shown
            done += self._describe(path.name, task, person)
        yield None, done

    def _describe(self, name: str, task: asyncio.Task[ImportResult], person: Person) -> str:
        try:
            result = task.result()
        except (FormatError, StoreError) as error:
            return render_import_error(name, error, person.lang)
        num_new = f"{result.num_new} examples"
        self.parts.store.record(person.person_id, "import", name, what=num_new)
        return render_import_result(name, result, person.lang)
