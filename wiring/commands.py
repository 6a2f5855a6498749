"""The commands beside `chat`. Each is one short function over a Context; while the application
runs, it carries them out itself (see control.py), so nothing ever writes beside it.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from finetune.curate import collect_feedback
from finetune.preferences import offer_preferences
from finetune.recipe import RunKind, load_recipe
from finetune.registry import list_versions
from finetune.runs import find_resumable
from finetune.selection import make_dataset_settings
from finetune.set_checks import refresh_new_feedback
from settings import Settings
from wiring import data_commands as data
from wiring import dataset_commands as dataset
from wiring import gate_commands as gate
from wiring import lineage_commands as lineage
from wiring import model_commands as model
from wiring.checks import make_checks
from wiring.context import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, Context, say_result
from wiring.control import Say
from wiring.learning import count_accepted, count_new

Run = Callable[[Context, Namespace], int]


@dataclass(frozen=True)
class Command:
    """One word after app.py."""

    help: str
    run: Run
    add_arguments: Callable[[ArgumentParser], None] = field(default=lambda _parser: None)


@dataclass(frozen=True)
class OutsideCommand:
    """One word after app.py that works without an open store."""

    help: str
    run: Callable[[Settings, Namespace, Say], int]
    add_arguments: Callable[[ArgumentParser], None] = field(default=lambda _parser: None)


_KINDS: Final[dict[str, RunKind]] = {"examples": "sft", "pairs": "dpo", "thumbs": "kto"}


def _name_recipe(text: str) -> str:
    """A file becomes absolute, since a running application has its own working folder."""
    return str(Path(text).resolve()) if text.endswith(".toml") else text


def _add_retrain(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--recipe", type=_name_recipe, help="name or .toml file (default: the setting `recipe`)"
    )
    parser.add_argument(
        "--if-new",
        type=int,
        default=0,
        metavar="N",
        help="do nothing unless N examples were accepted since the last dataset (default: 0)",
    )
    parser.add_argument(
        "--learn-from",
        choices=("examples", "pairs", "thumbs"),
        default="examples",
        help="pairs: then DPO on them; thumbs: then KTO (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a retrain that broke off")


def _find_refusal(context: Context, arguments: Namespace) -> tuple[str, str] | None:
    """Why a retrain cannot start, as far as the store knows; raises RecipeError."""
    store, settings = context.store, context.settings
    if arguments.resume:
        if find_resumable(store, store.data_dir):
            return None
        return "not_resumable", "There is no retrain to go on with. Start a new one."
    have, need = count_accepted(store), settings.min_examples
    if have < need:
        message = f"{have} examples are accepted; a retrain needs at least {need}."
        return "too_few_examples", message
    load_recipe(arguments.recipe or settings.recipe)
    kind = _KINDS[arguments.learn_from]
    if kind == "sft":
        return None
    share = make_dataset_settings(make_checks(settings).answer_format).validation_share
    offer = next(item for item in offer_preferences(store, share) if item.kind == kind)
    return None if offer.is_offered else ("too_few_preferences", offer.message)


def _retrain(context: Context, arguments: Namespace) -> int:
    """The whole loop; exit code 3 when the gate refuses the candidate."""
    # Said at once, not after a minute of starting the engine.
    if refusal := _find_refusal(context, arguments):
        code, message = refusal
        say_result(context, arguments, {"error": code, "message": message}, message)
        return EXIT_FAILED
    num_new = count_new(context.store)
    if num_new < arguments.if_new:
        message = f"{num_new} examples are new since the last dataset; nothing to do."
        say_result(context, arguments, {"stage": "skipped", "message": message}, message)
        return EXIT_OK
    learning = context.learning()
    if arguments.resume and not learning.is_running():  # what still trained was taken up already
        learning.resume_retrain(actor="command line")
    elif not arguments.resume:
        recipe, kind = arguments.recipe or context.settings.recipe, _KINDS[arguments.learn_from]
        learning.start_retrain(recipe, actor="command line", kind=kind)
    last = ""
    while True:
        progress = learning.retrain_progress()
        line = f"{progress.fraction:4.0%} {progress.stage}: {progress.message}" if progress else ""
        if line != last and not arguments.json:
            context.say(line)
        last = line
        if progress and progress.stage in ("done", "failed", "cancelled"):
            break
        time.sleep(0.5)
    newest = next(iter(list_versions(context.store)), None)
    value = {"stage": progress.stage, "message": progress.message, "code": progress.code}
    if progress.stage != "done" or newest is None:
        say_result(context, arguments, value, progress.message)
        return EXIT_FAILED
    value |= {"version": newest.adapter.version, "outcome": newest.outcome}
    say_result(context, arguments, value, f"{newest.adapter.version}: {newest.outcome}.")
    return EXIT_OK if newest.outcome == "pass" else EXIT_REFUSED


def _collect(context: Context, arguments: Namespace) -> int:
    """Turn new feedback into pending examples."""
    checks = make_checks(context.settings)
    result = collect_feedback(context.store, settings=checks)
    if result.num_new:
        refresh_new_feedback(context.store, checks)
    sentence = (
        f"{result.num_new} new examples are pending, {result.num_withdrawn} were withdrawn, "
        f"{result.num_without_consent} have no consent for training."
    )
    say_result(context, arguments, asdict(result), sentence)
    return EXIT_OK


COMMANDS: Final[dict[str, Command]] = {
    "import": Command("read a file of examples", data.run_import, data.add_import),
    "retrain": Command("dataset, training, evaluation, gate, promotion", _retrain, _add_retrain),
    "curate": Command("turn new feedback into pending examples", _collect),
    "check": Command("look at all examples as one set", dataset.run_check),
    "tokens": Command(
        "show what the loss covers in one example", dataset.run_tokens, dataset.add_tokens
    ),
    "dataset": Command("freeze the accepted examples into a dataset version", dataset.run_dataset),
    "datasets": Command("list the dataset versions", dataset.run_datasets),
    "dataset-diff": Command(
        "compare two dataset versions", dataset.run_dataset_diff, dataset.add_dataset_diff
    ),
    "export": Command("write a dataset for other tools", dataset.run_export, dataset.add_export),
    "versions": Command("list the adapter versions with their verdicts", gate.run_versions),
    "evaluate": Command("judge a version against production", gate.run_evaluate, gate.add_evaluate),
    "canary": Command("try a version on a share of the talks", gate.run_canary, gate.add_canary),
    "promote": Command("let a version answer", gate.run_promote, gate.add_promote),
    "rollback": Command("return to the version that answered before", gate.run_roll_back),
    "retire": Command("never offer a version again", gate.run_retire, gate.add_retire),
    "sweep": Command(
        "train with several recipes and compare them", model.run_sweep_command, model.add_sweep
    ),
    "export-model": Command(
        "give a version away: merged or alone, GGUF, hub",
        model.run_export_model,
        model.add_export_model,
    ),
    "lineage": Command(
        "what stands behind an answer, and where words went",
        lineage.run_lineage,
        lineage.add_lineage,
    ),
    "backup": Command("copy the database, verified", data.run_backup, data.add_backup),
    "export-person": Command(
        "print all data of one person", data.run_export_person, data.add_person
    ),
    "delete-person": Command(
        "delete all data of one person", data.run_delete_person, data.add_person
    ),
}

# Of the audit log; what starts a retrain or changes the version that answers records itself.
_RECORDED: Final = ("import", "dataset", "backup", "export-person")

# These look at the data folder from outside, also where the database cannot be opened.
OUTSIDE_COMMANDS: Final[dict[str, OutsideCommand]] = {
    "restore": OutsideCommand("bring a backup back", data.run_restore, data.add_restore),
    "doctor": OutsideCommand(
        "check everything, and say what to do", data.run_doctor, data.add_doctor
    ),
}


# Codes of errors that say no on purpose: the gate did not let the version pass.
_REFUSALS: Final = frozenset({"not_passed", "reason_needed", "retired"})


def run_command(context: Context, name: str, arguments: Namespace) -> int:
    """Run one command; errors with a code become their sentence and exit code 1."""
    try:
        if name in _RECORDED:
            context.store.record("command line", name)
        return COMMANDS[name].run(context, arguments)
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        value = {"error": getattr(error, "code", ""), "message": str(error)}
        say_result(context, arguments, value, str(error))
        return EXIT_REFUSED if value["error"] in _REFUSALS else EXIT_FAILED


def run_plain(context: Context, name: str, values: dict[str, Any]) -> int:
    """Run a command whose arguments came as JSON types."""
    if name not in COMMANDS:
        context.say(f"There is no command {name!r}.")
        return EXIT_FAILED
    return run_command(context, name, Namespace(**values))
