"""Commands about versions: evaluate, trial, promote, roll back. For a scheduler: JSON, and an exit
code that says whether the gate refused (3) or something failed (1).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from finetune.canary import DEFAULT_SHARE, CanarySettings, CanaryStatus, read_canary
from finetune.gate import Verdict
from finetune.progress import Control, LoopProgress
from finetune.registry import list_versions, production_version
from finetune.report import Report
from wiring.context import EXIT_OK, EXIT_REFUSED, Context, say_result

_ACTOR: Final = "command line"
_HEADLINES: Final = ("good_answer", "valid_json", "category_fit", "distinct_challenges")


def _add_override(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", default="", help="kept with the event")
    parser.add_argument(
        "--override", action="store_true", help="in spite of the gate; --reason is then required"
    )


def _read_reason(arguments: Namespace, usual: str) -> str:
    """What is kept with the event; an override has no usual reason."""
    return str(arguments.reason or ("" if arguments.override else usual))


def _to_version(word: str) -> str | None:
    return None if word == "base" else word


# --- promote, roll back, list -------------------------------------------------------------------


def add_promote(parser: ArgumentParser) -> None:
    """Arguments of `promote`."""
    parser.add_argument("version", help="adapter version such as v0003, or base")
    _add_override(parser)


def run_promote(context: Context, arguments: Namespace) -> int:
    """Let a version answer; exit code 3 when it did not pass the gate."""
    version = _to_version(arguments.version)
    if production_version(context.store) == version:  # said before an engine is started for it
        sentence = f"{version or 'The base model'} is production already; there is nothing to do."
        say_result(context, arguments, {"production": version, "message": sentence}, sentence)
        return EXIT_OK
    reason = _read_reason(arguments, "promoted by command")
    context.learning().promote(version, actor=_ACTOR, reason=reason, override=arguments.override)
    sentence = f"{version or 'The base model'} answers now."
    say_result(context, arguments, {"production": version}, sentence)
    return EXIT_OK


def run_roll_back(context: Context, arguments: Namespace) -> int:
    """Return to the version before."""
    version = context.learning().roll_back(actor=_ACTOR)
    sentence = f"{version or 'The base model'} answers again."
    say_result(context, arguments, {"production": version}, sentence)
    return EXIT_OK


def add_retire(parser: ArgumentParser) -> None:
    """Arguments of `retire`."""
    parser.add_argument("version", help="adapter version such as v0003")


def run_retire(context: Context, arguments: Namespace) -> int:
    """Never offer a version again; its folder stays."""
    context.learning().retire(arguments.version)
    value = {"version": arguments.version, "state": "retired"}
    say_result(context, arguments, value, f"{arguments.version} is retired.")
    return EXIT_OK


def run_versions(context: Context, arguments: Namespace) -> int:
    """All adapter versions with their verdicts."""
    rows = list_versions(context.store)
    value = {
        "versions": [
            {
                "version": row.adapter.version,
                "state": row.adapter.state,
                "is_production": row.is_production,
                "outcome": row.outcome,
                "reasons": list(row.reasons),
                "figures": dict(row.figures),
            }
            for row in rows
        ]
    }
    lines = [
        f"{'*' if row.is_production else ' '} {row.adapter.version} {row.outcome}: "
        f"{row.reasons[0] if row.reasons else ''}"
        for row in rows
    ]
    say_result(context, arguments, value, "\n".join(lines) or "There is no version yet.")
    return EXIT_OK


# --- evaluate -----------------------------------------------------------------------------------


def add_evaluate(parser: ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    parser.add_argument("version", help="adapter version such as v0003, or base")


def run_evaluate(context: Context, arguments: Namespace) -> int:
    """Ask a version the held-out questions and judge it against what answers now; exit code 3 when
    it does not pass. What answers now, and the base, only get their figures.
    """
    control = Control(_tell_progress(context, is_silent=arguments.json))
    version = _to_version(arguments.version)
    report, verdict = context.learning().evaluate(version, control)
    value = _describe_evaluation(arguments.version, report, verdict)
    say_result(context, arguments, value, _tell_evaluation(arguments.version, report, verdict))
    return EXIT_OK if verdict is None or verdict.outcome == "pass" else EXIT_REFUSED


def _tell_progress(context: Context, *, is_silent: bool) -> Callable[[LoopProgress], None]:
    def tell(progress: LoopProgress) -> None:
        if not is_silent:
            context.say(f"{progress.fraction:4.0%} {progress.message}")

    return tell


def _describe_evaluation(name: str, report: Report, verdict: Verdict | None) -> dict[str, Any]:
    figures = {
        metric.name: {
            "value": metric.value,
            "count": metric.count,
            "low": metric.low,
            "high": metric.high,
        }
        for metric in report.metrics
    }
    return {
        "version": name,
        "outcome": verdict.outcome if verdict else None,
        "reasons": [asdict(reason) for reason in verdict.reasons] if verdict else [],
        "figures": figures,
    }


def _tell_evaluation(name: str, report: Report, verdict: Verdict | None) -> str:
    found = [metric for key in _HEADLINES if (metric := report.metric(key))]
    told = ", ".join(
        f"{metric.name} {metric.value:.0%} of {metric.count}"
        for metric in found
        if metric.value is not None
    )
    first = f"{name}: {verdict.outcome if verdict else 'figures only'} ({told})."
    return "\n".join([first, *(verdict.sentences if verdict else ())])


# --- trial --------------------------------------------------------------------------------------


def add_canary(parser: ArgumentParser) -> None:
    """Arguments of `canary`."""
    parser.add_argument("version", nargs="?", help="adapter version to put on trial")
    parser.add_argument(
        "--share",
        dest="trial_share",  # "share" is a setting of the server
        type=float,
        default=DEFAULT_SHARE,
        help=f"of the conversations, at most 0.5 (default: {DEFAULT_SHARE})",
    )
    parser.add_argument("--status", action="store_true", help="where the trial stands (default)")
    parser.add_argument("--stop", action="store_true", help="end the trial")
    _add_override(parser)


def run_canary(context: Context, arguments: Namespace) -> int:
    """Let a share of the conversations talk with a version until thumbs decide; or say where that
    stands; or end it.
    """
    if arguments.stop:
        context.learning().stop_canary(actor=_ACTOR, reason=_read_reason(arguments, "by command"))
    elif arguments.version and not arguments.status:
        context.learning().start_canary(
            arguments.version,
            arguments.trial_share,
            actor=_ACTOR,
            reason=_read_reason(arguments, "by command"),
            override=arguments.override,
        )
    status = read_canary(context.store, CanarySettings())
    say_result(context, arguments, describe_canary(status), status.message)
    return EXIT_OK


def describe_canary(status: CanaryStatus) -> dict[str, Any]:
    """The trial as JSON types."""
    trial, thumbs = status.trial, status.thumbs
    if trial is None or thumbs is None:
        return {"version": None, "decision": status.decision, "message": status.message}
    return {
        "version": trial.version,
        "against": trial.against,
        "share": trial.share,
        "started_at": trial.started_at,
        "started_by": trial.started_by,
        "decision": status.decision,
        "message": status.message,
        "canary_likes": thumbs.canary_likes,
        "canary_thumbs": thumbs.num_blocks,
        "production_likes": thumbs.production_likes,
        "production_thumbs": thumbs.num_production,
        "evidence_worse": round(status.evidence_worse, 3),
        "evidence_better": round(status.evidence_better, 3),
    }
