import time

from chatbot.recommendation import canonical
from feedback_store.records import Run, RunState
from feedback_store.store import Store
from finetune.dataset import freeze_dataset
from finetune.retrain_goal import MIN_NEW, RetrainGoal, find_goal
from tests.finetune.examples import make_example, numbered_answer


def accept(store: Store, numbers: range) -> None:
    rows = [make_example(completion=canonical(numbered_answer(n))) for n in numbers]
    ids = [example_id for example_id in store.add_examples(rows) if example_id]
    store.decide_examples(ids, state="accepted", decided_by="kim")


def train(store: Store, state: RunState = "done") -> None:
    dataset = freeze_dataset(store, store.data_dir)
    run_id = f"r{len(store.list_runs())}"
    store.add_run(
        Run(
            run_id=run_id,
            kind="sft",
            state=state,
            dataset_id=dataset.dataset_id,
            base_model="b",
            recipe={},
        )
    )
    time.sleep(0.002)


def test_the_first_retrain_needs_what_is_set(store: Store) -> None:
    accept(store, range(12))
    goal = find_goal(store, 20)
    assert (goal, goal.missing) == (RetrainGoal(12, 20, is_first=True), 8)


def test_after_a_training_only_what_is_new_counts(store: Store) -> None:
    accept(store, range(30))
    train(store)
    assert find_goal(store, 20) == RetrainGoal(0, MIN_NEW, is_first=False)
    accept(store, range(30, 36))
    goal = find_goal(store, 20)
    assert (goal.num_new, goal.missing) == (6, MIN_NEW - 6)


def test_a_large_set_wants_a_tenth_more(store: Store) -> None:
    accept(store, range(300))
    train(store)
    assert find_goal(store, 20).need == 30


def test_a_training_that_failed_taught_nothing(store: Store) -> None:
    accept(store, range(30))
    train(store, "failed")
    assert find_goal(store, 20) == RetrainGoal(30, 20, is_first=True)
