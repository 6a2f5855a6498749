"""The whole learning wing: from accepted examples to the version that answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from chatbot.prompts import base_info_message, system_message
from chatbot.recommendation import canonical
from chatbot.themes import BaseInfo
from feedback_store.records import NewExample, Run
from feedback_store.store import Store
from finetune.adapter_checks import AdapterError
from finetune.adapter_folder import run_adapter_dir
from finetune.bench import Bench
from finetune.dataset import DatasetError
from finetune.job import CHECKPOINTS_DIR
from finetune.loop import (
    Cancelled,
    Control,
    LoopProgress,
    LoopSettings,
    TrainOrder,
    retrain,
)
from finetune.recipe import Recipe
from finetune.registry import production_version
from finetune.swap import Promotion, promote_live
from tests.finetune.fake_serving import PARROT_ANSWER, AdapterRefused, FakeServing, write_adapter
from tests.finetune.training_jobs import write_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        accept_examples(opened, 12)
        yield opened


def accept_examples(store: Store, count: int) -> None:
    info = BaseInfo("city", "office", "VEGAN")
    examples = [
        NewExample(
            source="import",
            messages=(
                dict(system_message("ko")),
                {"role": "user", "content": f"{number} {base_info_message(info, 'ko')['content']}"},
            ),
            completion=canonical(replace(PARROT_ANSWER, recommend=f"{number}번째 추천이에요.")),
            original_text="",
            conversation_id=f"import-{number}",
            person_id="admin",
            lang="ko",
            location="city",
            work_type="office",
            category="VEGAN",
        )
        for number in range(count)
    ]
    ids = [example_id for example_id in store.add_examples(examples) if example_id is not None]
    store.decide_examples(ids, state="accepted", decided_by="admin")


@dataclass
class Trainer:
    """A training stage that leaves an adapter with a voice."""

    voice: str = "good"
    orders: list[TrainOrder] = field(default_factory=list)

    def __call__(self, bench: Bench, order: TrainOrder, control: Control) -> Run:
        self.orders.append(order)
        run_id = f"run{len(bench.store.list_runs(limit=50)) + 1}"
        run = Run(
            run_id=run_id,
            kind="sft",
            state="done",
            dataset_id=order.dataset.dataset_id,
            base_model=bench.serving.base_model,
            recipe=order.recipe.to_dict(),
            result={"eval_loss": 0.5},
        )
        bench.store.add_run(run)
        write_adapter(run_adapter_dir(bench.data_dir, run_id), self.voice)
        control.report("train", "Training.", 0.5)
        return run


@dataclass
class Session:
    """One store and engine, and what a retrain told."""

    store: Store
    serving: FakeServing = field(default_factory=FakeServing)
    told: list[LoopProgress] = field(default_factory=list)

    def retrain(self, voice: str = "good", **settings: object) -> object:
        return retrain(
            self.store,
            self.store.data_dir,
            self.serving,
            Recipe(),
            LoopSettings(train=Trainer(voice), **settings),  # type: ignore[arg-type]
            Control(self.told.append),
        )


def stages(told: list[LoopProgress]) -> list[str]:
    return list(dict.fromkeys(progress.stage for progress in told))


def test_a_better_adapter_answers_people_at_the_end(store: Store) -> None:
    session = Session(store)
    session.retrain()
    assert production_version(store) == "v0001"
    assert session.serving.loaded() == ("v0001",)
    event = store.list_alias_events("production")[0]
    assert event.actor == "retrain"
    assert event.reason.startswith("passed the gate: Better than production")


def test_every_stage_is_told_in_order_and_the_fraction_only_grows(store: Store) -> None:
    session = Session(store)
    session.retrain()
    assert stages(session.told) == [
        *("dataset", "train", "load", "evaluate", "gate", "publish", "promote", "done"),
    ]
    fractions = [progress.fraction for progress in session.told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "v0001 answers now" in session.told[-1].message


def test_the_version_carries_the_whole_way_back_to_the_examples(store: Store) -> None:
    Session(store).retrain()
    adapter = store.get_adapter("v0001")
    assert adapter is not None
    assert (adapter.run_id, adapter.base_model) == ("run1", "starter")
    rows = store.list_dataset_rows(str(adapter.dataset_id))
    assert len(rows) == 12


@pytest.mark.parametrize("voice", ["sloppy", "stuffed", "parrot", "no-op"])
def test_a_refused_candidate_becomes_a_version_that_nobody_hears(store: Store, voice: str) -> None:
    session = Session(store)
    session.retrain(voice)
    assert production_version(store) is None
    assert session.serving.loaded() == ()
    adapter = store.get_adapter("v0001")
    assert adapter is not None
    assert adapter.state == "refused"
    assert adapter.verdict["outcome"] == "fail"
    assert adapter.verdict["reasons"][0]["message"] in session.told[-1].message
    assert "promote" not in stages(session.told)


def test_passing_can_wait_for_the_button(store: Store) -> None:
    session = Session(store)
    session.retrain(auto_promote=False)
    assert production_version(store) is None
    adapter = store.get_adapter("v0001")
    assert adapter is not None
    assert adapter.state == "passed"
    assert "waits for promotion" in session.told[-1].message
    promote_live(store, session.serving, "v0001", Promotion("admin", "read it"))
    assert production_version(store) == "v0001"


def test_the_second_retrain_is_compared_with_the_first(store: Store) -> None:
    session = Session(store)
    session.retrain()
    session.serving.asked.clear()
    session.retrain()
    assert production_version(store) == "v0001"
    second = store.get_adapter("v0002")
    assert second is not None
    assert second.verdict["reasons"][0]["code"] == "identical"
    asked = [request.adapter for request in session.serving.asked]
    assert set(asked) == {"candidate-run2"}  # what v0001 answered is known
    assert len(asked) == 128


def test_without_accepted_examples_nothing_is_trained(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty") as empty:
        session = Session(empty)
        with pytest.raises(DatasetError):
            session.retrain()
        assert stages(session.told) == ["dataset", "failed"]
        assert session.told[-1].code == "no_examples"
        assert session.told[-1].message.endswith(".")


@pytest.mark.parametrize("stage", ["dataset", "train", "load", "evaluate", "gate", "publish"])
def test_it_can_be_cancelled_at_every_stage_and_leaves_nothing_behind(
    store: Store, stage: str
) -> None:
    session = Session(store)
    control = Control(session.told.append)

    def on_progress(progress: LoopProgress) -> None:
        session.told.append(progress)
        if progress.stage == stage:
            control.cancel.set()

    control = Control(on_progress, control.cancel)
    with pytest.raises(Cancelled):
        retrain(
            store,
            store.data_dir,
            session.serving,
            Recipe(),
            LoopSettings(train=Trainer()),
            control,
        )
    assert session.told[-1].stage == "cancelled"
    assert session.serving.loaded() == ()
    assert production_version(store) is None


class Dying(FakeServing):
    """An engine that dies under the questions."""

    def generate(self, requests: object) -> list[object]:  # type: ignore[override]
        raise AdapterRefused("died", "The engine has died. It is being started again.")


def test_an_engine_that_dies_fails_the_retrain_with_its_sentence(store: Store) -> None:
    session = Session(store, Dying())
    with pytest.raises(AdapterRefused):
        session.retrain()
    assert session.told[-1] == LoopProgress(
        "failed", "The engine has died. It is being started again.", 1.0, code="died"
    )
    assert store.list_adapters() == []


@pytest.mark.parametrize("kind", ["sft", "kto", "dpo"])
def test_preferences_start_from_the_imitation_of_the_same_rows(store: Store, kind: str) -> None:
    serving, trainer = FakeServing(), Trainer()
    recipe = Recipe(kind=kind)  # type: ignore[arg-type]
    retrain(store, store.data_dir, serving, recipe, LoopSettings(train=trainer))
    assert trainer.orders[0].run.start_adapter is None  # nothing is there: both, one after another
    retrain(store, store.data_dir, serving, recipe, LoopSettings(train=trainer))
    first = store.data_dir / "adapters" / "v0001"
    assert trainer.orders[1].run.start_adapter == (None if kind == "sft" else first)
    accept_examples(store, 14)
    retrain(store, store.data_dir, serving, recipe, LoopSettings(train=trainer))
    assert trainer.orders[2].run.start_adapter is None


def test_a_trained_run_is_judged_and_published_when_it_is_taken_up_again(store: Store) -> None:
    session = Session(store, Dying())
    with pytest.raises(AdapterRefused):
        session.retrain(voice="good")
    run = store.list_runs(limit=1)[0]
    checkpoints = store.data_dir / "runs" / run.run_id / CHECKPOINTS_DIR
    write_checkpoint(checkpoints, 10)
    settings = LoopSettings(resume_run_id=run.run_id)
    outcome = retrain(store, store.data_dir, FakeServing(), Recipe(), settings)
    assert outcome.adapter.run_id == run.run_id
    assert not checkpoints.exists()  # nobody goes on from them any more
    assert len(store.list_runs(limit=9)) == 1


def test_a_base_whose_tokenizer_changed_meanwhile_publishes_nothing(store: Store) -> None:
    def train(bench: Bench, order: TrainOrder, control: Control) -> Run:
        run = Trainer()(bench, order, control)
        return replace(run, result={**run.result, "adapter": {"tokenizer_sha256": "another"}})

    session = Session(store)
    with pytest.raises(AdapterError, match="tokenizer of the base changed"):
        retrain(
            store, store.data_dir, session.serving, Recipe(), LoopSettings(train=train),
            Control(session.told.append),
        )  # fmt: skip
    assert session.told[-1].code == "other_tokenizer"
    assert store.list_adapters() == []
