"""The commands of the gate, as a scheduler runs them: JSON and exit codes."""

from __future__ import annotations

import json
from argparse import SUPPRESS, Namespace, _SubParsersAction
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from app import build_parser
from feedback_store.store import Store
from finetune.evaluate import EvaluationSettings
from finetune.loop import LoopSettings, Outcome, retrain
from finetune.progress import Control
from finetune.recipe import Recipe
from finetune.registry import production_version
from settings import Settings
from tests.finetune.fake_serving import FakeServing
from tests.finetune.published import publish
from tests.finetune.test_loop import Trainer, accept_examples
from wiring.commands import run_command
from wiring.context import Context
from wiring.learning import LearningSettings, LearningSide


class QuickSide(LearningSide):
    """The real learning side, except that its training leaves a voice at once."""

    voice = "good"

    def retrain(self, recipe: Recipe, *, actor: str, resume_run_id: str | None = None) -> Outcome:
        control = Control(self._on_progress, self._cancel)
        settings = LoopSettings(actor=actor, train=Trainer(self.voice))
        return retrain(self._store, self._data_dir, self._serving, Recipe(), settings, control)


@dataclass
class Shell:
    """A terminal in front of the commands."""

    store: Store
    side: QuickSide
    lines: list[str] = field(default_factory=list)

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code, and what was printed as JSON."""
        self.lines.clear()
        arguments: Namespace = build_parser().parse_args([*words, "--json"])
        settings = Settings(data_dir=self.store.data_dir, min_examples=5)
        store = self.store
        context = Context(
            settings, store, self.lines.append, lambda: self.side, store.delete_person
        )
        code = run_command(context, arguments.command, arguments)
        assert len(self.lines) == 1, self.lines
        return code, json.loads(self.lines[0])


def make_shell(store: Store, **settings: Any) -> Shell:
    chosen = LearningSettings(
        min_examples=5, evaluation=EvaluationSettings(num_cases=48), **settings
    )
    side = QuickSide(store, store.data_dir, FakeServing(), chosen, lambda: True)
    return Shell(store, side)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Store.open(tmp_path / "data") as store:
        yield make_shell(store)


def test_promote_and_roll_back_say_who_answers(shell: Shell) -> None:
    publish(shell.store, "r1")
    assert shell.run("promote", "v0001") == (0, {"production": "v0001"})
    assert shell.run("rollback") == (0, {"production": None})
    code, told = shell.run("rollback")
    assert (code, told["error"]) == (1, "nothing_to_roll_back")
    assert shell.run("promote", "v0007")[1]["error"] == "unknown_version"


def test_promoting_what_is_production_is_nothing_to_do(shell: Shell) -> None:
    publish(shell.store, "r1")
    code, told = shell.run("promote", "base")
    assert (code, told["production"]) == (0, None)
    assert told["message"] == "The base model is production already; there is nothing to do."
    shell.run("promote", "v0001")
    code, told = shell.run("promote", "v0001")
    assert (code, told["production"]) == (0, "v0001")
    assert told["message"] == "v0001 is production already; there is nothing to do."
    assert len(shell.store.list_alias_events("production")) == 1


def test_promote_refuses_with_its_own_exit_code_what_did_not_pass(shell: Shell) -> None:
    publish(shell.store, "r1", outcome="fail")
    code, told = shell.run("promote", "v0001")
    assert (code, told["error"]) == (3, "not_passed")
    code, told = shell.run("promote", "v0001", "--override")
    assert (code, told["error"]) == (3, "reason_needed")
    code, told = shell.run("promote", "v0001", "--override", "--reason", "why")
    assert (code, told["error"]) == (3, "reason_needed")
    assert production_version(shell.store) is None
    code, _ = shell.run("promote", "v0001", "--override", "--reason", "I read every answer")
    assert (code, production_version(shell.store)) == (0, "v0001")
    event = shell.store.list_alias_events("production")[0]
    assert event.reason == "override: I read every answer"


def test_evaluate_judges_a_version_against_what_answers_now(shell: Shell) -> None:
    publish(shell.store, "r1", voice="stuffed")
    publish(shell.store, "r2", outcome="incomplete")
    code, told = shell.run("evaluate", "v0001")
    assert (code, told["outcome"]) == (3, "fail")
    stuffed = [reason for reason in told["reasons"] if reason["params"].get("metric") == "stuffed"]
    assert stuffed[0]["code"] == "above_limit"
    code, told = shell.run("evaluate", "v0002")
    assert (code, told["outcome"]) == (0, "pass")
    assert told["figures"]["valid_json"]["count"] == 48
    adapter = shell.store.get_adapter("v0002")
    assert adapter is not None
    assert (adapter.state, adapter.verdict["outcome"]) == ("passed", "pass")
    assert shell.run("promote", "v0002")[0] == 0
    assert shell.side._serving.loaded() == ("v0002",)  # what was only asked is not kept


def test_evaluate_gives_figures_only_of_what_answers_now(shell: Shell) -> None:
    publish(shell.store, "r1")
    shell.run("promote", "v0001")
    code, told = shell.run("evaluate", "v0001")
    assert (code, told["outcome"], told["reasons"]) == (0, None, [])
    code, told = shell.run("evaluate", "base")
    assert (code, told["outcome"]) == (0, None)
    assert told["figures"]["valid_json"]["value"] < 1


def test_a_judge_that_is_set_is_asked_and_counts_only_once_people_agree(shell: Shell) -> None:
    asked: list[object] = []
    judged = make_shell(shell.store, ask_judge=lambda messages: asked.append(messages) or "A")
    publish(shell.store, "r1", outcome="incomplete")
    code, told = judged.run("evaluate", "v0001")
    assert code == 0
    assert told["figures"]["judge_agreement"]["count"] == 0  # nobody has voted yet
    assert "judged_better" not in told["figures"]
    assert asked == []


def test_what_once_answered_people_keeps_its_verdict(shell: Shell) -> None:
    for run_id in ("r1", "r2"):
        shell.run("promote", publish(shell.store, run_id).version)
    code, told = shell.run("evaluate", "v0001")
    assert (code, told["outcome"]) == (3, "fail")  # no better than v0002
    adapter = shell.store.get_adapter("v0001")
    assert adapter is not None
    assert adapter.state == "passed"


def test_a_trial_is_begun_asked_and_ended(shell: Shell) -> None:
    publish(shell.store, "r1")
    publish(shell.store, "r2", outcome="fail")
    assert shell.run("canary") == (
        0,
        {"version": None, "decision": "none", "message": "No version is on trial."},
    )
    code, told = shell.run("canary", "v0001", "--share", "0.2")
    assert (code, told["version"], told["share"], told["against"]) == (0, "v0001", 0.2, None)
    assert told["decision"] == "undecided"
    assert shell.run("canary", "--status")[1] == told
    assert shell.run("canary", "v0002")[1]["error"] == "canary_running"
    code, told = shell.run("canary", "--stop", "--reason", "seen enough")
    assert (code, told["version"]) == (0, None)
    assert shell.store.list_alias_events("canary")[0].reason == "seen enough"
    assert shell.run("canary", "--stop")[0] == 1
    assert shell.run("canary", "v0002")[0] == 3
    assert shell.run("canary", "v0001", "--share", "0.9")[1]["error"] == "bad_share"


def test_a_retired_version_is_offered_no_more(shell: Shell) -> None:
    publish(shell.store, "r1")
    assert shell.run("retire", "v0001") == (0, {"version": "v0001", "state": "retired"})
    assert shell.run("promote", "v0001")[0] == 3
    assert shell.run("versions")[1]["versions"][0]["state"] == "retired"


@pytest.mark.parametrize(
    ("voice", "code", "production"),
    [("good", 0, "v0001"), ("stuffed", 3, None), ("no-op", 3, None)],
)
def test_the_nightly_retrain_promotes_a_pass_and_nothing_else(
    shell: Shell, voice: str, code: int, production: str | None
) -> None:
    accept_examples(shell.store, 12)
    shell.side.voice = voice
    ended, told = shell.run("retrain")
    assert (ended, told["version"]) == (code, "v0001")
    assert production_version(shell.store) == production


def test_a_night_without_enough_news_is_skipped(shell: Shell) -> None:
    accept_examples(shell.store, 12)
    assert shell.run("retrain", "--if-new", "12")[0] == 0
    code, told = shell.run("retrain", "--if-new", "1")
    assert (code, told["stage"]) == (0, "skipped")
    assert len(shell.store.list_runs()) == 1
    accept_examples(shell.store, 15)
    assert shell.run("retrain", "--if-new", "4")[1]["stage"] == "skipped"
    assert shell.run("retrain", "--if-new", "3")[1]["stage"] == "done"


def test_a_night_with_too_few_examples_fails_at_once(shell: Shell) -> None:
    code, told = shell.run("retrain")
    assert (code, told["error"]) == (1, "too_few_examples")


def test_no_argument_of_a_command_is_taken_for_a_setting() -> None:
    parsers = next(
        action for action in build_parser()._actions if isinstance(action, _SubParsersAction)
    )
    names = {entry.name for entry in fields(Settings)}
    for name, parser in parsers.choices.items():
        for action in parser._actions:
            is_setting = action.dest in names
            assert not is_setting or action.default in (None, SUPPRESS), (name, action.dest)
