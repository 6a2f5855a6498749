"""Files of examples dropped onto the Curate tab."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

import gradio as gr

from chatbot.ui.blocks import QUIET, event_data, html_part
from chatbot.ui.curate_flags import describe_evidence, describe_fix, flag_label
from chatbot.ui.event_input import read_form
from chatbot.ui.i18n import TEXTS, t, translate_error
from chatbot.ui.icons import icon
from chatbot.ui.labels import label
from chatbot.ui.mapping_view import read_mapping, render_mapping
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person, needs, require_curator
from feedback_store.errors import StoreError
from finetune.column_preview import ColumnPreview, preview_columns
from finetune.formats import ImportProgress, ImportResult, ImportSettings, import_path
from finetune.import_rows import RowSettings
from finetune.source_files import SUFFIXES, FormatError
from finetune.starter_corpus import EXAMPLES_PATH

logger = logging.getLogger(__name__)

OnProgress = Callable[[ImportProgress], None]

POLL_S: Final = 0.3
MAX_REASONS: Final = 6


@dataclass(frozen=True)
class Waiting:
    """Files whose columns a person has to name, the first one with its preview; kept by Gradio."""

    paths: tuple[Path, ...] = ()
    preview: ColumnPreview | None = None


NOTHING: Final = Waiting()
Step = tuple[Any, str, Waiting]


def render_import_progress(progress: ImportProgress | None, lang: str) -> str:
    """How many rows were read so far."""
    num_rows = progress.num_rows if progress else 0
    key = "import_comparing" if progress and progress.is_comparing else "importing"
    return (
        f'<p class="eco-waiting" role="status"><span class="eco-dots" aria-hidden="true"><i></i>'
        f"<i></i><i></i></span><span>{t(lang, key, num=f'{num_rows:,}')}</span></p>"
    )


def render_import_result(name: str, result: ImportResult, lang: str) -> str:
    """What became of every row of one file."""
    figures = (
        ("new", result.num_new),
        ("flagged", result.num_flagged),
        ("repaired", result.num_repaired),
        ("similar", result.num_similar),
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
        f"<li>{escape(TEXTS[lang].get(f'reject_{code}', code.replace('_', ' ')))}: {count:,}"
        f"{_render_lines(result.first_lines.get(code, ()), count, lang)}</li>"
        for code, count in reasons
    )
    listing = f'<ul class="eco-reasons">{rows}</ul>' if rows else ""
    return (
        f'<div class="eco-import" role="status"><h3>{escape(name)} · '
        f"{t(lang, 'import_rows', num=f'{result.num_rows:,}')}</h3>"
        f'<div class="eco-figures">{shown}</div>{listing}{_render_set_flags(result, lang)}</div>'
    )


def _render_lines(lines: Sequence[int], count: int, lang: str) -> str:
    """Where the first rows of a reason stand in the file."""
    if not lines:
        return ""
    more = ", …" if count > len(lines) else ""
    said = t(lang, "import_lines", lines=", ".join(f"{line:,}" for line in lines) + more)
    return f' <span class="eco-muted">({said})</span>'


def _render_set_flags(result: ImportResult, lang: str) -> str:
    """What the import did to the examples as a whole, as far as something is to be done."""
    told = [flag.to_dict() for flag in result.set_flags if flag.severity != "info"]
    rows = "".join(
        f'<li><span class="eco-tag eco-tag-{"bad" if flag["severity"] == "error" else "warn"}">'
        f"{escape(flag_label(flag['name'], lang))}</span>"
        f"<span>{describe_evidence(flag, lang)} {describe_fix(flag, lang)}</span></li>"
        for flag in told
    )
    return f'<ul class="eco-flags">{rows}</ul>' if rows else ""


def render_import_error(name: str, code: str, message: str, lang: str) -> str:
    """Why nothing of a file could be read."""
    sentence = translate_error(lang, code, message)
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
                elem_id="curate-import",
                height=150,
            )
            accepted = ",".join(SUFFIXES)
            html_part(
                "curate-import-kinds",
                f'<i hidden data-of="curate-import" data-accept="{accepted}"></i>',
                visible="hidden",
            )
            self.starter = gr.Button(
                label("import_starter"),
                elem_id="curate-starter",
                variant="secondary",
                size="md",
                visible=not self.parts.is_text,  # they are recommendations
            )
            self.result = html_part("curate-import-result")
            self.waiting = gr.State(NOTHING)

    def wire(self, after: Any, inputs: list[Any], outputs: list[Any]) -> None:
        """Import what is dropped, then show the queue again by `after`."""
        shown = [self.files, self.result, self.waiting]
        dropped = self.files.upload(
            self.on_upload, inputs=[self.files], outputs=shown, concurrency_limit=2, **QUIET
        )
        clicked = self.starter.click(self.on_starter, outputs=shown, concurrency_limit=2, **QUIET)
        mapped = self.result.act(
            self.on_map, inputs=[self.waiting], outputs=shown, concurrency_limit=2, **QUIET
        )
        for event in (dropped, clicked, mapped):
            event.then(after, inputs=inputs, outputs=outputs, concurrency_limit=32, **QUIET)

    @needs("curator")
    async def on_starter(self, request: gr.Request) -> AsyncIterator[Step]:
        """The examples that ship with the project, for people who have none of their own yet."""
        async for shown in self.on_upload([str(EXAMPLES_PATH)], request):
            yield shown

    @needs("curator")
    async def on_upload(self, paths: list[str] | None, request: gr.Request) -> AsyncIterator[Step]:
        """One file after the other, with the rows counted on the way; then the ones whose columns
        have to be named.
        """
        person = require_curator(self.parts, request)
        named, unnamed, done = await asyncio.to_thread(_sort_files, paths or [], person.lang)
        for path in named:
            rows = RowSettings(checks=self.parts.checks)
            settings = ImportSettings(rows, check_set=path is named[-1])  # once, over all of them
            async for html, is_done in self._import(path, settings, person):
                yield gr.skip(), done + html, NOTHING
                done += html if is_done else ""
        yield await self._ask_next(tuple(unnamed), done, person.lang)

    @needs("curator")
    async def on_map(
        self, waiting: Waiting, event: gr.EventData, request: gr.Request
    ) -> AsyncIterator[Step]:
        """The columns of the first waiting file were named, or it was put aside."""
        person = require_curator(self.parts, request)
        data, done = event_data(event), ""
        if not waiting.paths or waiting.preview is None:
            yield gr.skip(), "", NOTHING
            return
        if data.get("action") == "map":
            columns = read_mapping(read_form(data), waiting.preview)
            settings = ImportSettings(RowSettings(checks=self.parts.checks, columns=columns))
            async for html, is_done in self._import(waiting.paths[0], settings, person):
                yield gr.skip(), html, waiting
                done = html if is_done else done
        yield await self._ask_next(waiting.paths[1:], done, person.lang)

    async def _ask_next(self, paths: tuple[Path, ...], done: str, lang: str) -> Step:
        if not paths:
            return None, done, NOTHING
        preview = await asyncio.to_thread(preview_columns, paths[0])
        form = render_mapping(paths[0].name, preview, lang) if preview else ""
        return None, done + form, Waiting(paths, preview)

    async def _import(
        self, path: Path, settings: ImportSettings, person: Person
    ) -> AsyncIterator[tuple[str, bool]]:
        """The rows read so far, again and again; at last what became of them."""
        latest: list[ImportProgress] = []
        work = asyncio.to_thread(self.import_file, path, settings, person, latest.append)
        task = asyncio.create_task(work)
        while not (await asyncio.wait({task}, timeout=POLL_S))[0]:
            yield render_import_progress(latest[-1] if latest else None, person.lang), False
        yield task.result(), True

    def import_file(
        self, path: Path, settings: ImportSettings, person: Person, tell: OnProgress
    ) -> str:
        """What became of the file, as HTML. Blocks; in one piece, so that an import stands in the
        log also when whoever dropped the file has left the page meanwhile.
        """
        store = self.parts.store
        try:
            result = import_path(store, path, settings, on_progress=tell)
            num_new = f"{result.num_new} examples"
            store.record(person.person_id, "import", path.name, what=num_new)
        except (FormatError, StoreError) as error:
            return render_import_error(path.name, error.code, str(error), person.lang)
        except Exception as error:  # whatever it was, the page must not go on reading for ever
            logger.exception("An import failed")
            return render_import_error(path.name, "unexpected", str(error), person.lang)
        return render_import_result(path.name, result, person.lang)


def _sort_files(paths: list[str], lang: str) -> tuple[list[Path], list[Path], str]:
    """Files that are understood, files whose columns have to be named, and why one is neither."""
    named: list[Path] = []
    unnamed: list[Path] = []
    errors = ""
    for path in map(Path, paths):
        try:
            (unnamed if preview_columns(path) else named).append(path)
        except FormatError as error:
            errors += render_import_error(path.name, error.code, str(error), lang)
        except Exception as error:  # whatever a file holds, the others are read
            logger.exception("A file could not be looked at")
            errors += render_import_error(path.name, "unexpected", str(error), lang)
    return named, unnamed, errors
