from dataclasses import replace
from types import MappingProxyType

import pytest

from feedback_store.records import Dataset, Run
from feedback_store.store import Store
from finetune.evaluate import Serving
from finetune.recipe import RecipeError
from finetune.starter_corpus import make_examples
from tests.finetune.training_jobs import write_checkpoint
from wiring.learning import LearningError, LearningSettings, LearningSide


class SilentServing:
    """A Serving that is never asked: whatever is refused is refused before."""

    base_model = "starter"
    can_sleep = False
    engine_facts = MappingProxyType({"engine": "silent"})

    def load(self, name, path):
        raise AssertionError("asked to load")

    def unload(self, name):
        raise AssertionError("asked to unload")

    def loaded(self):
        return ()

    def sleep(self):
        raise AssertionError("asked to sleep")

    def wake(self):
        raise AssertionError("asked to wake")

    def generate(self, requests):
        raise AssertionError("asked to generate")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


def make_side(store, *, is_ready=True, min_examples=3):
    serving: Serving = SilentServing()
    settings = LearningSettings(min_examples=min_examples)
    return LearningSide(store, store.data_dir, serving, settings, lambda: is_ready)


def accept(store, count):
    ids = store.add_examples(list(make_examples(count, 1)))
    store.decide_examples(ids, state="accepted", decided_by="test")


def test_a_retrain_says_how_many_examples_it_lacks(store):
    accept(store, 2)
    (blocker,) = make_side(store).blockers()
    assert (blocker.code, blocker.have, blocker.need) == ("too_few_examples", 2, 3)
    with pytest.raises(LearningError, match="2 examples are accepted"):
        make_side(store).start_retrain("balanced", actor="test")


def test_a_retrain_waits_for_the_engine(store):
    accept(store, 3)
    assert [b.code for b in make_side(store, is_ready=False).blockers()] == ["engine_not_ready"]
    assert make_side(store).blockers() == []


def test_an_unknown_recipe_is_refused_before_anything_starts(store):
    accept(store, 3)
    side = make_side(store)
    with pytest.raises(RecipeError, match="no recipe 'magic'"):
        side.start_retrain("magic", actor="test")
    assert not side.is_running()
    assert side.retrain_progress() is None


def test_the_recipe_that_is_set_comes_first_and_once(store):
    settings = LearningSettings(recipe="quick")
    side = LearningSide(store, store.data_dir, SilentServing(), settings, lambda: True)
    names = list(side.recipes())
    assert names[0] == "quick"
    assert len(names) == len(set(names))


def test_without_a_version_the_base_answers(store):
    side = make_side(store)
    result = side.reconcile(is_start=True)
    assert result.notes == ()
    assert side.production() is None
    assert side.live() is None


def test_without_a_run_there_is_no_log(store):
    assert make_side(store).log_tail(10) == ()


@pytest.mark.parametrize(("kind", "sentence"), [("dpo", "0 pairs"), ("kto", "0 thumbs up")])
def test_preferences_that_do_not_suffice_are_refused_with_their_counts(store, kind, sentence):
    accept(store, 3)
    side = make_side(store)
    assert [offer.is_offered for offer in side.preferences()] == [False, False]
    with pytest.raises(LearningError, match=sentence) as caught:
        side.start_retrain("balanced", actor="test", kind=kind)
    assert caught.value.code == "too_few_preferences"
    assert not side.is_running()


def test_without_a_broken_off_retrain_there_is_nothing_to_go_on_with(store):
    side = make_side(store, min_examples=1)
    assert side.resumable() is None
    side.take_up()  # at the start of the application
    assert not side.is_running()
    with pytest.raises(LearningError) as caught:
        side.resume_retrain(actor="test")
    assert caught.value.code == "not_resumable"


def test_a_broken_off_retrain_goes_on_without_new_examples_when_the_engine_is_ready(
    store, monkeypatch
):
    run = Run(
        run_id="r1", kind="sft", state="interrupted", dataset_id="d1", base_model="starter",
        recipe={"name": "quick", "kind": "sft"},
    )  # fmt: skip
    store.add_dataset(Dataset(dataset_id="d1", path="d1", num_train=3, num_validation=1), [])
    store.add_run(run)
    write_checkpoint(store.data_dir / "runs" / "r1" / "checkpoints", 5)
    begun = []
    monkeypatch.setattr(LearningSide, "_begin", lambda self, *words: begun.append(words[1:]))
    with pytest.raises(LearningError, match="warming up"):
        make_side(store, is_ready=False).resume_retrain(actor="test")
    make_side(store).resume_retrain(actor="test")
    assert begun == [("test", "r1")]
    monkeypatch.setattr(LearningSide, "resumable", lambda self: replace(run, state="running"))
    make_side(store, is_ready=False).take_up()  # no reason to end the keeper of the engine
    make_side(store).take_up()
    assert begun[1:] == [("restart", "r1")]
