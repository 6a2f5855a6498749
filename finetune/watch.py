"""Stops a training that goes nowhere, and says why: not a number, divergence, a plateau that
learns nothing, answers learnt by heart. Pure: figures come in, a reason goes out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

_PLATEAU_FROM_STEP: Final = 50  # a night's failure was plain at step 50
_PLATEAU_GAIN: Final = 0.03  # share of the base's loss that must be gained by then
# Nats per token. A base that knows the language and the format stands well below, and may stay
# where it is without harm; one that stays above has not understood what is asked of it.
_PLATEAU_FLOOR: Final = 2.0
_DIVERGED: Final = 1.5  # times the base's loss, and …
_DIVERGED_NATS: Final = (
    0.5  # … above it: where the base knows most rows, a batch of others is no harm
)
_NUM_RECENT: Final = 5  # steps; their median, because one batch of unusual rows says nothing
_SMOOTHING: Final = 0.8  # weight of the past in the running training loss
_HEART_GAP: Final = 3.0  # validation loss over training loss
_HEART_RISE: Final = 1.15  # validation loss over its best
_PARROT_SHARE: Final = 0.6  # of the sampled answers
_AS_GOOD: Final = 1.05  # times the lowest validation loss
_STEP_LIMIT: Final = 1e8  # more steps than any run has


@dataclass(frozen=True)
class StopReason:
    """Why a training was stopped before its last step. is_failure: its adapter is of no use.
    values: its figures, for a sentence in another language.
    """

    code: str
    message: str
    is_failure: bool
    values: Mapping[str, str] = field(default_factory=dict)


def _fail(code: str, message: str, **values: str) -> StopReason:
    return StopReason(code, message, is_failure=True, values=values)


@dataclass(frozen=True)
class Sampled:
    """One sampled answer: the prompt it was asked with, what came, and what people accepted."""

    prompt: str
    answer: str
    expected: str


@dataclass(frozen=True)
class WatchLimits:
    """What a recipe says of stopping."""

    warmup_steps: int
    min_steps: int = 0  # before them, want of gain stops nothing
    patience: int = 3  # evaluations without gain until it stops; 0 is never


class Watch:
    """Follows the figures of one run."""

    def __init__(self, limits: WatchLimits, training_answers: Mapping[str, frozenset[str]]) -> None:
        """training_answers: for each answer of the training rows, the prompts it belongs to."""
        self._limits = limits
        self._training_answers = training_answers
        self._base_loss: float | None = None
        self._first_loss: float | None = None
        self._running_loss: float | None = None
        self._recent = deque[float](maxlen=_NUM_RECENT)
        self._evaluations: dict[int, float] = {}

    def see_loss(self, step: int, loss: float) -> StopReason | None:
        """After an optimizer step."""
        if not math.isfinite(loss):
            return _fail(
                "not_a_number",
                f"The loss is not a number at step {step}. Lower learning_rate, or use bf16 "
                "instead of fp16.",
                step=str(step),
            )
        if self._first_loss is None:
            self._first_loss = self._running_loss = loss
        assert self._running_loss is not None
        self._running_loss = _SMOOTHING * self._running_loss + (1 - _SMOOTHING) * loss
        self._recent.append(loss)
        before, recent = max(self._first_loss, self._base_loss or 0.0), median(self._recent)
        limit = max(_DIVERGED * before, before + _DIVERGED_NATS)
        is_settled = step > self._limits.warmup_steps and len(self._recent) == _NUM_RECENT
        return self._diverged(step, recent) if is_settled and recent > limit else None

    def _diverged(self, step: int, loss: float) -> StopReason:
        first = f"{self._first_loss:.2f}"
        return _fail(
            "diverged",
            f"The loss rose to {loss:.2f} by step {step}; it began at {first}. "
            "Lower learning_rate, or raise warmup_ratio.",
            step=str(step),
            loss=f"{loss:.2f}",
            first=first,
        )

    def see_evaluation(self, step: int, eval_loss: float) -> StopReason | None:
        """After an evaluation; the one at step 0 is the base's."""
        if not math.isfinite(eval_loss):
            message = f"The validation loss is not a number at step {step}."
            return _fail("not_a_number", message, step=str(step))
        if step == 0:
            self._base_loss = eval_loss
            return None
        self._evaluations[step] = eval_loss  # after a resume the same step may come again
        return self._check_plateau(step) or self._check_heart(step) or self._check_gain(step)

    def _check_plateau(self, step: int) -> StopReason | None:
        base, best = self._base_loss, min(self._evaluations.values())
        is_early = step < max(_PLATEAU_FROM_STEP, 2 * self._limits.warmup_steps)
        if base is None or is_early or len(self._evaluations) < 2:
            return None
        if best < _PLATEAU_FLOOR or best <= (1 - _PLATEAU_GAIN) * base:
            return None
        return _fail(
            "plateau",
            f"After {step} steps the validation loss is {best:.3f}, the base model's is "
            f"{base:.3f}: it learns nothing. The answers may mix formats, or learning_rate may "
            "be far too low.",
            step=str(step),
            best=f"{best:.3f}",
            base=f"{base:.3f}",
        )

    def _check_heart(self, step: int) -> StopReason | None:
        losses, train = list(self._evaluations.values()), self._running_loss
        best, eval_loss = min(losses), losses[-1]
        if train is None or len(losses) < 3:
            return None
        is_rising = min(losses[-2:]) > _HEART_RISE * best
        if not is_rising or eval_loss < _HEART_GAP * train:
            return None
        return StopReason(
            "memorised",
            f"At step {step} the training loss is {train:.3f}, but the validation loss rose from "
            f"{best:.3f} to {eval_loss:.3f}: it learns the rows by heart. The best checkpoint "
            "is kept.",
            is_failure=False,
            values={
                "step": str(step),
                "train": f"{train:.3f}",
                "best": f"{best:.3f}",
                "now": f"{eval_loss:.3f}",
            },
        )

    def _check_gain(self, step: int) -> StopReason | None:
        best_step = min(self._evaluations, key=lambda item: self._evaluations[item])
        since = sum(item > best_step for item in self._evaluations)
        patience = self._limits.patience
        if not patience or since < patience or step < self._limits.min_steps:
            return None
        best = f"{self._evaluations[best_step]:.3f}"
        return StopReason(
            "no_gain",
            f"No gain in {since} evaluations; the best was {best} at step {best_step}. "
            "A checkpoint that is as good is kept.",
            is_failure=False,
            values={"count": str(since), "best": best, "step": str(best_step)},
        )

    def see_samples(self, step: int, samples: Sequence[Sampled]) -> StopReason | None:
        """After sampled answers: an answer that belongs to other questions is parroted."""
        parroted = sum(is_parroted(sample, self._training_answers) for sample in samples)
        if len(samples) < 3 or parroted < _PARROT_SHARE * len(samples):
            return None
        return StopReason(
            "parroting",
            f"At step {step}, {parroted} of {len(samples)} sampled answers are training answers "
            "to other questions, word for word. The best checkpoint is kept; collect more "
            "examples, or train for fewer epochs.",
            is_failure=False,
            values={"step": str(step), "parroted": str(parroted), "count": str(len(samples))},
        )


def is_parroted(sample: Sampled, training_answers: Mapping[str, Collection[str]]) -> bool:
    """Whether it is a training answer to other prompts, where people accepted none that is."""
    prompts = training_answers.get(sample.answer.strip())
    is_wanted = sample.expected.strip() in training_answers
    return prompts is not None and sample.prompt not in prompts and not is_wanted


class CheckpointChoice:
    """Which checkpoint becomes the adapter: the best formed answers among those whose validation
    loss is as good as the best, and of equals the last.

    The loss is mostly about what is said; the format lies in few tokens, is learnt later, and
    the lowest loss alone would throw it away.
    """

    def __init__(self) -> None:
        self._best = math.inf

    def rank(self, step: int, eval_loss: float, num_well_formed: int) -> float:
        """Higher is better; to be called for each evaluation in its order."""
        self._best = min(self._best, eval_loss)
        if not eval_loss <= _AS_GOOD * self._best:
            return 0.0
        return num_well_formed * _STEP_LIMIT + step
