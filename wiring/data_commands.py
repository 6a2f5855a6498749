"""Commands about data: import, backup, restore, doctor, one person's data."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from feedback_store.backup import backup, restore
from feedback_store.database import DATABASE_NAME
from feedback_store.doctor import Finding, examine
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune.adapter_folder import RegistryError, verify_adapter
from finetune.checks import CheckSettings
from finetune.curate import accept_examples
from finetune.formats import ImportSettings, import_path
from finetune.import_rows import RowSettings
from finetune.row_mapping import COLUMN_FIELDS, read_columns
from finetune.source_files import FormatError
from settings import Settings
from wiring.checks import make_checks
from wiring.context import EXIT_FAILED, EXIT_OK, Context, say_result
from wiring.control import Say

_PAGE: Final = 500


def add_import(parser: ArgumentParser) -> None:
    """Arguments of `import`."""
    parser.add_argument("file", type=Path, help="a file of examples, or a folder of them")
    parser.add_argument(
        "--accept",
        action="store_true",
        help="accept the rows that have no flag, in your name (default: they wait in Curate)",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="FIELD=COLUMN",
        help=f"which column holds what; fields are {', '.join(COLUMN_FIELDS)} "
        "(default: found out from the names)",
    )


def run_import(context: Context, arguments: Namespace) -> int:
    """Read examples of any known format; every row ends as an example or in a rejects file. Exit
    code 1 when no row was any.
    """
    checks = make_checks(_with_answer_format(context, arguments))
    columns = read_columns(arguments.columns) if arguments.columns else None
    settings = ImportSettings(RowSettings(checks=checks, columns=columns))
    result = import_path(context.store, Path(arguments.file), settings)
    num_accepted = _accept_unflagged(context, checks) if arguments.accept else 0
    lines = [
        f"{result.num_rows} rows: {result.num_new} new examples ({result.num_flagged} flagged, "
        f"{result.num_repaired} repaired, {result.num_similar} like others), "
        f"{result.num_known} known, {result.num_rejected} rejected"
        f"{f', see {result.rejects_path}' if result.rejects_path else ''}. "
        f"{num_accepted} accepted."
    ]
    lines += result.first_rejects
    lines += [f"{f.severity}: {f.name}: {f.evidence}. {f.fix}" for f in result.set_flags]
    if "unknown_columns" in result.reasons and columns is None:
        lines.append("Say which column holds what: --columns prompt=COLUMN completion=COLUMN.")
    value = asdict(result) | {"num_accepted": num_accepted}
    say_result(context, arguments, value, "\n".join(lines))
    return EXIT_OK if result.num_new or result.num_known else EXIT_FAILED


def _with_answer_format(context: Context, arguments: Namespace) -> Settings:
    """The settings, once the flag agrees with them: a project has one answer format."""
    settings, wanted = context.settings, arguments.answer_format
    if wanted and wanted != settings.answer_format:
        raise FormatError(
            "other_answer_format",
            f"The running application has answer_format = {settings.answer_format}. Start it "
            f"with --answer-format {wanted}, then import again.",
        )
    return settings


def _accept_unflagged(context: Context, checks: CheckSettings) -> int:
    store, curator = context.store, "command line"
    pending = ExampleFilter(state="pending", source="import")
    ids = [item.example_id for item in store.iter_examples(pending) if not item.flags]
    return sum(
        accept_examples(store, ids[at : at + _PAGE], curator=curator, settings=checks).num_changed
        for at in range(0, len(ids), _PAGE)
    )


def add_backup(parser: ArgumentParser) -> None:
    """Arguments of `backup`."""
    parser.add_argument(
        "--to", type=Path, help="folder for the backup (default: backups in the data folder)"
    )


def run_backup(context: Context, arguments: Namespace) -> int:
    """A verified copy of the database, also while the application runs."""
    done = backup(context.settings.data_dir, Path(arguments.to) if arguments.to else None)
    sentence = f"{done.path}, {done.num_bytes / 1e6:.1f} MB, in {done.duration_s:.1f} s."
    say_result(context, arguments, asdict(done), sentence)
    return EXIT_OK


def add_person(parser: ArgumentParser) -> None:
    """Arguments of `export-person` and `delete-person`."""
    parser.add_argument("person", help="the person's id, as Curate and the database show it")


def run_export_person(context: Context, arguments: Namespace) -> int:
    """Everything that is stored of one person, as JSON."""
    data = context.store.export_person(arguments.person)
    context.say(json.dumps(data, ensure_ascii=False, indent=1))
    return EXIT_OK


def run_delete_person(context: Context, arguments: Namespace) -> int:
    """Delete one person's data for good; names the versions that were trained on it."""
    deletion = context.delete_person(arguments.person)
    value = asdict(deletion)
    say_result(context, arguments, value, json.dumps(value, ensure_ascii=False, default=str))
    return EXIT_OK


# --- without an open store ----------------------------------------------------------------------


def add_restore(parser: ArgumentParser) -> None:
    """Arguments of `restore`."""
    parser.add_argument("file", type=Path, help="a backup made by `backup`")


def run_restore(settings: Settings, arguments: Namespace, say: Say) -> int:
    """Put a backup in the place of the database; the application must not run."""
    done = restore(settings.data_dir, arguments.file)
    say(
        f"{done.backup} is restored: {done.num_turns} turns, {done.num_examples} examples."
        + (f" What was there before is {done.set_aside}." if done.set_aside else "")
    )
    return EXIT_OK


def add_doctor(parser: ArgumentParser) -> None:
    """Arguments of `doctor`."""
    parser.add_argument(
        "--rebuild-search",
        action="store_true",
        help="fill the search index anew first; the application must not run",
    )


def run_doctor(settings: Settings, arguments: Namespace, say: Say) -> int:
    """Look at everything and say what to do; exit code 1 when something is broken."""
    if arguments.rebuild_search:
        with Store.open(settings.data_dir, name="doctor") as store:
            store.rebuild_search()
    findings = [*examine(settings.data_dir), *_examine_adapters(settings.data_dir)]
    if arguments.json:
        say(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            say(f"{finding.level:8} {finding.subject}: {finding.message} {finding.advice}".rstrip())
    return EXIT_FAILED if any(finding.level == "problem" for finding in findings) else EXIT_OK


def _examine_adapters(data_dir: Path) -> Iterator[Finding]:
    """Every byte of every version against its manifest."""
    folders = sorted((data_dir / "adapters").glob("v*"))
    broken = 0
    for folder in folders:
        try:
            verify_adapter(folder)
        except RegistryError as error:
            broken += 1
            yield Finding("problem", f"adapter {folder.name}", str(error), "Retrain, or copy it.")
    if folders and not broken and (data_dir / DATABASE_NAME).exists():
        yield Finding("ok", "adapters", f"{len(folders)} versions, every file as published.")
