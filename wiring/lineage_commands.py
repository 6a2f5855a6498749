"""Where an answer comes from, and where words went: lineage both ways."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from feedback_store.errors import StoreError
from feedback_store.records import Lineage
from wiring.context import EXIT_OK, Context, say_result

_SHOWN = 12  # ids of one kind; all of them stand in the JSON


def add_lineage(parser: ArgumentParser) -> None:
    """Arguments of `lineage`."""
    parser.add_argument("kind", choices=("answer", "version", "person"), help="what is traced")
    parser.add_argument("id", help="number of the answer, version such as v0004, or person's id")


def run_lineage(context: Context, arguments: Namespace) -> int:
    """What stands behind an answer or a version, and everything that an answer or a person's words
    went into.
    """
    found = _trace(context, arguments.kind, arguments.id)
    sentences = [_tell(title, line) for title, line in found.items()]
    value = {title.replace(" ", "_"): asdict(line) for title, line in found.items()}
    say_result(context, arguments, value, "\n".join(sentences))
    return EXIT_OK


def _trace(context: Context, kind: str, name: str) -> dict[str, Lineage]:
    store = context.store
    if kind == "version":
        return {"behind it": store.sources_of_adapter(name)}
    if kind == "person":
        return {"went into": store.uses_of_person(name)}
    if not name.isdecimal():
        raise StoreError("not_found", f"There is no answer {name!r}; answers have numbers.")
    turn_id = int(name)
    return {"behind it": store.sources_of_turn(turn_id), "went into": store.uses_of_turn(turn_id)}


def _tell(title: str, line: Lineage) -> str:
    kinds = (
        ("versions", line.adapters),
        ("runs", line.run_ids),
        ("datasets", line.dataset_ids),
        ("examples", line.example_ids),
        ("answers", line.turn_ids),
    )
    told = "; ".join(f"{kind} {_list_ids(ids)}" for kind, ids in kinds if ids)
    return f"{title}: {told or 'nothing'}."


def _list_ids(ids: tuple[object, ...]) -> str:
    shown = ", ".join(str(item) for item in ids[:_SHOWN])
    return f"{shown}, … ({len(ids)} in all)" if len(ids) > _SHOWN else shown
