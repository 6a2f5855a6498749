"""Trainings that go nowhere are stopped, others are left alone."""

import math

import pytest

from finetune.watch import CheckpointChoice, Sampled, StopReason, Watch, WatchLimits


def make_watch(**answers: str) -> Watch:
    known = {answer: frozenset({prompt}) for prompt, answer in answers.items()}
    return Watch(WatchLimits(warmup_steps=4), training_answers=known)


def feed(watch: Watch, losses: list[float], evaluations: dict[int, float]) -> StopReason | None:
    """Losses by step from 1, evaluations by step; the first reason that comes."""
    if 0 in evaluations:
        watch.see_evaluation(0, evaluations[0])
    for step, loss in enumerate(losses, 1):
        reason = watch.see_loss(step, loss)
        if reason is None and step in evaluations:
            reason = watch.see_evaluation(step, evaluations[step])
        if reason is not None:
            return reason
    return None


def test_the_night_of_4_6_ends_at_step_100() -> None:
    losses = [4.69 - 0.0001 * step for step in range(1450)]
    reason = feed(make_watch(), losses, {0: 4.70, 50: 4.649, 100: 4.64})
    assert reason is not None
    assert (reason.code, reason.is_failure) == ("plateau", True)
    assert "4.640" in reason.message


def test_a_base_that_has_nothing_more_to_learn_is_no_failure() -> None:
    evaluations = {0: 0.2536, 19: 0.2466, 38: 0.2475, 57: 0.2507}
    assert feed(make_watch(), [0.25] * 57, evaluations) is None


def test_a_training_that_learns_is_left_alone() -> None:
    losses = [2.0 * 0.99**step for step in range(200)]
    evaluations = {step: 2.0 * 0.99**step + 0.05 for step in range(0, 200, 20)}
    assert feed(make_watch(), losses, evaluations) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_once(value: float) -> None:
    reason = feed(make_watch(), [2.0, value], {})
    assert reason is not None
    assert reason.code == "not_a_number"


def test_a_validation_loss_that_is_no_number_stops_too() -> None:
    reason = make_watch().see_evaluation(20, math.nan)
    assert reason is not None
    assert reason.is_failure


def test_a_loss_that_keeps_rising_has_diverged() -> None:
    reason = feed(make_watch(), [2.0 + 0.1 * step for step in range(100)], {0: 2.0})
    assert reason is not None
    assert reason.code == "diverged"
    assert "learning_rate" in reason.message


def test_one_bad_step_is_no_divergence() -> None:
    losses = [2.0] * 20 + [5.0] + [2.0] * 20
    assert feed(make_watch(), losses, {0: 2.0}) is None


def test_rows_that_a_base_does_not_know_are_no_divergence_from_those_it_knows() -> None:
    losses = [0.127, 0.152, 2.798, 0.129, 0.12, 2.9, 0.11, 0.1, 0.09, 2.2] * 4
    assert feed(make_watch(), losses, {0: 0.148}) is None
    reason = feed(make_watch(), [0.13] + [0.13 + 0.3 * step for step in range(40)], {0: 0.148})
    assert reason is not None
    assert reason.code == "diverged"


def test_a_rising_validation_loss_over_a_tiny_training_loss_is_memorisation() -> None:
    losses = [max(0.02, 2.0 * 0.9**step) for step in range(100)]
    evaluations = {0: 2.0, 20: 0.5, 40: 0.6, 60: 0.7}
    reason = feed(make_watch(), losses, evaluations)
    assert reason is not None
    assert (reason.code, reason.is_failure) == ("memorised", False)


def test_no_gain_for_three_evaluations_ends_it_with_the_best_checkpoint() -> None:
    losses = [1.0] * 100
    evaluations = {0: 2.0, 10: 1.0, 20: 1.01, 30: 1.02, 40: 1.01}
    reason = feed(make_watch(), losses, evaluations)
    assert reason is not None
    assert (reason.code, reason.is_failure) == ("no_gain", False)
    assert "step 10" in reason.message


def test_patience_zero_never_stops_for_want_of_gain() -> None:
    watch = Watch(WatchLimits(warmup_steps=4, patience=0), training_answers={})
    evaluations = {0: 2.0, **dict.fromkeys(range(10, 100, 10), 1.0)}
    assert feed(watch, [1.0] * 100, evaluations) is None


def test_parroting_training_answers_to_other_questions_stops() -> None:
    watch = make_watch(a="A", b="B", c="C")
    said = (("x", "A"), ("y", "B "), ("c", "C"), ("z", "C"))
    samples = [Sampled(prompt, answer, "D") for prompt, answer in said]
    reason = watch.see_samples(40, samples)
    assert reason is not None
    assert (reason.code, reason.is_failure) == ("parroting", False)
    assert "3 of 4" in reason.message


def test_an_answer_that_belongs_to_the_question_is_no_parroting() -> None:
    watch = make_watch(a="A", b="B", c="C")
    samples = [Sampled(prompt, prompt.upper(), "D") for prompt in "abc"]
    assert watch.see_samples(40, samples) is None


def test_where_people_accept_one_answer_to_many_questions_it_is_no_parroting() -> None:
    """As in answers to frequent questions: what is asked anew has an answer that was taught."""
    watch = make_watch(a="A", b="B", c="C")
    samples = [Sampled("x", "A", "A"), Sampled("y", "B", "B"), Sampled("z", "C", "A")]
    assert watch.see_samples(40, samples) is None


def test_an_evaluation_seen_again_after_a_resume_counts_once() -> None:
    watch = make_watch()
    watch.see_evaluation(0, 2.0)
    for _ in range(5):
        assert watch.see_evaluation(10, 1.0) is None


def test_want_of_gain_stops_nothing_before_the_least_number_of_steps() -> None:
    watch = Watch(WatchLimits(warmup_steps=4, min_steps=60), training_answers={})
    evaluations = {0: 2.0, **dict.fromkeys(range(10, 100, 10), 1.0)}
    reason = feed(watch, [1.0] * 100, evaluations)
    assert reason is not None
    assert "No gain in 5 evaluations" in reason.message


def choose(*evaluations: tuple[float, int]) -> int:
    """Number of the chosen evaluation; each is its loss and its well-formed answers."""
    choice = CheckpointChoice()
    ranks = [choice.rank(step, *item) for step, item in enumerate(evaluations)]
    return max(range(len(ranks)), key=lambda number: ranks[number])


def test_of_equally_good_checkpoints_the_last_is_kept() -> None:
    assert choose((0.288, 5), (0.290, 5), (0.293, 5), (0.297, 5)) == 3


def test_a_checkpoint_that_has_got_worse_is_not_kept() -> None:
    assert choose((1.0, 5), (0.5, 5), (0.8, 5)) == 1


def test_well_formed_answers_count_more_than_later_steps() -> None:
    assert choose((0.50, 4), (0.50, 5), (0.50, 3)) == 1


def test_a_loss_that_is_no_number_is_never_chosen() -> None:
    assert choose((0.5, 5), (math.nan, 5)) == 0
