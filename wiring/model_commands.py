"""Commands about training and its results: compare recipes, give a version away."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path

from feedback_store.records import Dataset
from finetune.dataset import freeze_dataset
from finetune.model_export import connect_hub, export_version, push_to_hub
from finetune.recipe import list_recipes, load_recipe
from finetune.selection import DatasetError, make_dataset_settings
from finetune.sweep import EXPERIENCES, Sweep, render_table, run_sweep
from wiring.checks import make_checks
from wiring.context import EXIT_FAILED, EXIT_OK, Context, say_result
from wiring.engines import name_base


def add_export_model(parser: ArgumentParser) -> None:
    """Arguments of `export-model`."""
    parser.add_argument("version", help="adapter version such as v0003")
    parser.add_argument("--to", type=Path, required=True, help="the folder to write; must be new")
    parser.add_argument(
        "--adapter-only", action="store_true", help="the LoRA alone (default: merged into its base)"
    )
    parser.add_argument(
        "--gguf", action="store_true", help="also model.gguf; needs llama.cpp in LLAMA_CPP_DIR"
    )
    parser.add_argument(
        "--push-to-hub", metavar="OWNER/NAME", help="upload the folder; needs `hf auth login`"
    )
    parser.add_argument(
        "--public", action="store_true", help="for everybody to see (default: private)"
    )


def run_export_model(context: Context, arguments: Namespace) -> int:
    """Merge a version into its base, prove the result, and write it with a model card."""
    repository = arguments.push_to_hub
    if repository:
        connect_hub()  # a missing login is said before the merge, not after it
    done = export_version(
        context.store,
        arguments.version,
        Path(arguments.to),
        is_merged=not arguments.adapter_only,
        gguf=arguments.gguf,
    )
    if repository:
        folder = Path(done.path)
        url = push_to_hub(folder, repository, is_public=arguments.public, connect=connect_hub)
        done = replace(done, url=url)
    what = "merged into its base" if done.is_merged else "as an adapter"
    sentence = f"{done.version}, {what}, is in {done.path}."
    if done.largest_difference is not None:
        sentence += f" Its logits differ from base and adapter by {done.largest_difference:.2g}."
    sentence += f" GGUF: {done.gguf}." if done.gguf else ""
    sentence += f" On the hub: {done.url}" if done.url else ""
    say_result(context, arguments, vars(done), sentence)
    return EXIT_OK


def add_sweep(parser: ArgumentParser) -> None:
    """Arguments of `sweep`."""
    parser.add_argument(
        "recipes",
        nargs="*",
        type=_to_recipe,
        metavar="RECIPE",
        help=f"any of {', '.join(list_recipes())}, or .toml files (default: balanced and the "
        "experiences)",
    )
    parser.add_argument("--dataset", metavar="ID", help="a frozen dataset (default: freeze now)")
    parser.add_argument(
        "--max-steps", type=_to_steps, default=0, help="of each run (default: as the recipe says)"
    )


def _to_recipe(word: str) -> str:
    """A name, or a whole path: the running application has its own working folder."""
    return str(Path(word).resolve()) if word.endswith(".toml") else word


def _to_steps(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise ArgumentTypeError(f"{word!r} is no number of steps; give 1 or more")
    return int(word)


def run_sweep_command(context: Context, arguments: Namespace) -> int:
    """Train the same rows with several recipes, one after another, and print one table."""
    names = list(dict.fromkeys(arguments.recipes or ("balanced", *EXPERIENCES)))
    for name in names:
        load_recipe(name)  # one that cannot be read ends it before the first is trained
    sweep = Sweep(
        dataset=_find_dataset(context, arguments.dataset),
        base_model=name_base(context.settings.model),
        recipes=names,
        max_steps=arguments.max_steps,
        answer_format=make_checks(context.settings).answer_format,
    )
    rows = []
    for row in run_sweep(context.store, sweep, context.say if not arguments.json else _nothing):
        rows.append(row)
    value = {"dataset_id": sweep.dataset.dataset_id, "rows": [row.to_dict() for row in rows]}
    say_result(context, arguments, value, render_table(rows))
    return EXIT_OK if all(row.state == "done" for row in rows) else EXIT_FAILED


def _nothing(_text: str) -> None:
    """JSON is the only thing a scheduler wants to read."""


def _find_dataset(context: Context, dataset_id: str | None) -> Dataset:
    if dataset_id is None:
        settings = make_dataset_settings(make_checks(context.settings).answer_format)
        return freeze_dataset(context.store, context.store.data_dir, settings)
    found = context.store.get_dataset(dataset_id)
    if found is None:
        raise DatasetError("unknown_dataset", f"There is no dataset {dataset_id[:80]!r}.")
    return found
