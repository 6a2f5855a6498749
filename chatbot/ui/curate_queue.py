"""Where one curator stands in the queue: the row, the filter, the plan and what was typed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from chatbot.recommendation import Recommendation
from chatbot.ui.curate_bulk import NO_FOCUS, BulkPlan, Doubt, Focus
from chatbot.ui.curate_view import QueueFilter, read_answer
from chatbot.ui.event_input import read_form
from chatbot.ui.feedback_view import keep_fields
from feedback_store.records import ExampleFilter

NO_FILTER: Final = QueueFilter()
MAX_UNDO: Final = 50


@dataclass(frozen=True)
class Queue:
    """Where one curator stands; kept by Gradio per page."""

    filter: QueueFilter = NO_FILTER
    doubt: Doubt | None = None  # of a plan: only the examples that have it
    example_id: int | None = None
    skipped: tuple[int, ...] = ()
    decided: tuple[tuple[int, ...], ...] = ()  # for undo, the last one at the end
    seen: tuple[str, str] | None = None  # state and answer of the row as it was shown
    is_fixing: bool = False
    draft: Recommendation | str | None = None  # what was typed and could not be saved
    twin_id: int | None = None
    shows_tokens: bool = False
    is_bulk_open: bool = False
    plan: BulkPlan | None = None
    bulk_focus: Focus = NO_FOCUS
    message: str = ""

    @property
    def wanted(self) -> ExampleFilter:
        """Which examples the queue offers."""
        chosen: dict[str, Any] = {
            field.name: getattr(self.filter, field.name) or None for field in fields(self.filter)
        }
        return ExampleFilter(**chosen, ids=self.doubt.example_ids if self.doubt else None)

    def leave_row(self) -> Queue:
        """On to whatever comes next."""
        return replace(
            self, example_id=None, seen=None, is_fixing=False, draft=None, twin_id=None, plan=None
        )


def keep_typed(data: dict[str, Any]) -> Recommendation | str | None:
    """What stood in the form that could not be saved."""
    form = read_form(data)
    if data.get("action") != "save" or not form:
        return None
    text = read_answer(form)
    return keep_fields(form) if text is None else text


def fold_bulk(state: Queue) -> Queue:
    """Open it with the keyboard on its first button, or close it and leave the keyboard there."""
    is_open = not state.is_bulk_open and state.plan is None
    focus = state.bulk_focus.move("accept" if is_open else "fold")
    return replace(state, is_bulk_open=is_open, plan=None, bulk_focus=focus)


def leave_plan(state: Queue) -> Queue:
    """Back to the button that it came from."""
    if state.plan is None:
        return state
    focus = state.bulk_focus.move(state.plan.deed)
    return replace(state, is_bulk_open=True, plan=None, bulk_focus=focus)


def look_at_doubt(state: Queue, name: str) -> Queue:
    """The queue of those examples of the plan that have the doubt; without one, all of them."""
    doubt = state.plan.find_doubt(name) if state.plan and name else None
    focus = state.bulk_focus.move("doubt") if doubt else state.bulk_focus
    return replace(state.leave_row(), doubt=doubt, skipped=(), bulk_focus=focus)
