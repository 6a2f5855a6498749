import pytest

from feedback_store.store import Store
from finetune.evaluate import Serving
from finetune.recipe import RecipeError
from finetune.starter_corpus import make_examples
from wiring.learning import LearningError, LearningSettings, LearningSide


class SilentServing:
    """A Serving that is never asked: whatever is refused is refused before."""

    base_model = "starter"
    can_sleep = False

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
