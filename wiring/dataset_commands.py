"""Commands about datasets: check the whole set, freeze, list, compare, export, look at tokens."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from feedback_store.errors import NotFound
from feedback_store.records import Dataset
from finetune.chat_template import ChatTokenizer, TokenizerError
from finetune.dataset import freeze_dataset
from finetune.dataset_diff import (
    LATEST,
    diff_datasets,
    find_dataset,
    locate_dataset,
    verify_dataset,
)
from finetune.export import export_dataset
from finetune.selection import make_dataset_settings
from finetune.set_checks import SetReport, refresh_flags
from finetune.token_view import TokenView, show_tokens
from wiring.checks import make_checks
from wiring.context import EXIT_OK, Context, say_result

_SHOWN_IDS: Final = 12


def _describe(dataset: Dataset) -> dict[str, Any]:
    return {
        "dataset_id": dataset.dataset_id,
        "path": dataset.path,
        "num_train": dataset.num_train,
        "num_validation": dataset.num_validation,
    }


def run_dataset(context: Context, arguments: Namespace) -> int:
    """Freeze the accepted examples."""
    settings = make_dataset_settings(make_checks(context.settings).answer_format)
    frozen = freeze_dataset(context.store, context.settings.data_dir, settings)
    sentence = (
        f"Dataset {frozen.dataset_id}: {frozen.num_train} rows to train on, "
        f"{frozen.num_validation} to validate, in {frozen.path}."
    )
    say_result(context, arguments, _describe(frozen), sentence)
    return EXIT_OK


def run_datasets(context: Context, arguments: Namespace) -> int:
    """All dataset versions, newest first, and which adapter versions were trained on each."""
    versions: dict[str, list[str]] = {}
    for adapter in context.store.list_adapters():
        versions.setdefault(adapter.dataset_id or "", []).append(adapter.version)
    rows = [
        _describe(dataset)
        | {"created_at": dataset.created_at, "versions": versions.get(dataset.dataset_id, [])}
        for dataset in context.store.list_datasets()
    ]
    lines = [
        f"{row['dataset_id']}  {row['created_at'][:16]}  {row['num_train']:>7,} train  "
        f"{row['num_validation']:>6,} validation  {' '.join(row['versions'])}".rstrip()
        for row in rows
    ]
    say_result(context, arguments, {"datasets": rows}, "\n".join(lines) or "There is no dataset.")
    return EXIT_OK


def run_check(context: Context, arguments: Namespace) -> int:
    """Look at all examples as one set: formats, balance, copies, leakage, signs of poisoning."""
    report = refresh_flags(context.store, make_checks(context.settings))
    value = {
        "num_examples": report.num_examples,
        "flags": [flag.to_dict() for flag in report.flags],
        "num_similar": len(report.row_flags),
        "num_suspicious": len(report.people_flags),
        "num_by_category": report.num_by_category,
        "formats": report.formats,
    }
    say_result(context, arguments, value, "\n".join(_tell_report(report)))
    return EXIT_OK


def _tell_report(report: SetReport) -> Iterator[str]:
    yield f"{report.num_examples} examples that are not excluded."
    for flag in report.flags:
        yield f"{flag.severity:8} {flag.name}: {flag.evidence}. {flag.fix}"
    if report.num_by_category:
        counts = sorted(report.num_by_category.items())
        yield "by category: " + ", ".join(f"{code} {number}" for code, number in counts)
    yield (
        f"{len(report.row_flags)} examples are copies of others or belong to other questions, "
        f"{len(report.people_flags)} show signs of poisoning; they are flagged in Curate."
    )


def add_dataset_diff(parser: ArgumentParser) -> None:
    """Arguments of `dataset-diff`."""
    parser.add_argument("before", help="id of a dataset, or how it begins")
    parser.add_argument("after", nargs="?", default=LATEST, help="the other one (default: latest)")


def run_dataset_diff(context: Context, arguments: Namespace) -> int:
    """What changed from one dataset version to another: rows and settings."""
    pair = [find_dataset(context.store, name) for name in (arguments.before, arguments.after)]
    before, after = (locate_dataset(context.store, dataset) for dataset in pair)
    verify_dataset(before)
    verify_dataset(after)
    diff = diff_datasets(before, after)
    value = {"before": pair[0].dataset_id, "after": pair[1].dataset_id} | asdict(diff)
    if before == after:
        say_result(context, arguments, value, _tell_same(context, pair[0].dataset_id))
        return EXIT_OK
    lines = [f"From {pair[0].dataset_id} to {pair[1].dataset_id}:"]
    for name in ("added", "removed", "changed", "moved"):
        lines.append(f"{name:8} {_tell_ids(getattr(diff, name))}")
    lines += [f"setting  {name}: {old} → {new}" for name, (old, new) in diff.settings.items()]
    say_result(context, arguments, value, "\n".join(lines))
    return EXIT_OK


def _tell_same(context: Context, dataset_id: str) -> str:
    others = [d.dataset_id for d in context.store.list_datasets() if d.dataset_id != dataset_id]
    known = f"The others are {', '.join(others[:_SHOWN_IDS])}." if others else "There is no other."
    return f"Both are dataset {dataset_id}, so nothing differs. {known}"


def _tell_ids(ids: tuple[int, ...]) -> str:
    shown = ", ".join(f"#{number}" for number in ids[:_SHOWN_IDS])
    more = ", …" if len(ids) > _SHOWN_IDS else ""
    return f"{len(ids):,}" + (f": {shown}{more}" if ids else "")


def add_export(parser: ArgumentParser) -> None:
    """Arguments of `export`."""
    parser.add_argument("dataset", nargs="?", default=LATEST, help="id of a dataset or latest")
    parser.add_argument("--kind", choices=("jsonl", "parquet"), default="jsonl", help="file format")
    parser.add_argument(
        "--to", type=Path, help="folder to write (default: exports/<id>-<kind> in the data folder)"
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier export there")


def run_export(context: Context, arguments: Namespace) -> int:
    """Write a dataset as a folder with a data card, which `datasets.load_dataset` reads."""
    dataset = find_dataset(context.store, arguments.dataset)
    usual = context.settings.data_dir / "exports" / f"{dataset.dataset_id}-{arguments.kind}"
    target = Path(arguments.to) if arguments.to else usual
    source = locate_dataset(context.store, dataset)
    folder = export_dataset(source, target, arguments.kind, replaces=arguments.force)
    value = _describe(dataset) | {"folder": str(folder), "kind": arguments.kind}
    say_result(context, arguments, value, f"Dataset {dataset.dataset_id} is in {folder}.")
    return EXIT_OK


def add_tokens(parser: ArgumentParser) -> None:
    """Arguments of `tokens`."""
    parser.add_argument("example", type=int, help="number of an example, as Curate shows it")


def run_tokens(context: Context, arguments: Namespace) -> int:
    """Show, token by token, what the loss of training covers in one example."""
    example = context.store.get_example(arguments.example)
    if example is None:
        raise NotFound("example", str(arguments.example))
    checks = make_checks(context.settings)
    if checks.model_dir is None:
        raise TokenizerError(
            "no_tokenizer", "The tokenizer of the base model is not on this machine yet."
        )
    view = show_tokens(
        ChatTokenizer(checks.model_dir),
        example.messages,
        example.completion,
        max_length=checks.max_length,
        options=dict(checks.template_options),
    )
    say_result(context, arguments, asdict(view), "\n".join(_tell_tokens(view)))
    return EXIT_OK


def _tell_tokens(view: TokenView) -> Iterator[str]:
    prompt = [token.text for token in view.tokens if not token.is_in_loss]
    answer = [token.text for token in view.tokens if token.is_in_loss]
    yield f"not in the loss ({view.num_prompt} tokens):"
    yield "│".join(prompt)
    yield f"in the loss ({view.num_loss} tokens):"
    yield "│".join(answer)
    if view.is_cut:
        yield "The row is longer than max_length: training leaves it out."
    elif not view.has_end:
        yield "The end of the turn is not learned: answers would never stop."
