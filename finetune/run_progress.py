"""What a run shows while it runs, made from the lines that its process writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from feedback_store.records import RunMetric, RunState
from finetune.job import EVENTS_FILE, METRICS_FILE, SAMPLES_FILE
from finetune.run_files import LineReader

_NOT_FIGURES: Final = frozenset({"time", "step", "total_steps"})
_MOST_POINTS: Final = 600  # of a plot


@dataclass(frozen=True)
class RunEvent:
    """Something that happened in a run: a stable kind, a sentence, and its figures."""

    kind: str
    message: str
    at: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleAnswer:
    """What the model in training answered to a validation prompt, beside what was accepted."""

    step: int
    prompt: str
    expected: str
    answer: str


@dataclass(frozen=True)
class RunProgress:
    """Where a run stands, for people. code names the sentence in message, for translation."""

    run_id: str
    state: RunState
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_s: float | None = None
    memory_mb: float | None = None
    eta_s: float | None = None
    code: str = "queued"
    message: str = "Waiting to start."
    losses: list[tuple[int, float]] = field(default_factory=list)
    eval_losses: list[tuple[int, float]] = field(default_factory=list)
    events: tuple[RunEvent, ...] = ()
    samples: tuple[SampleAnswer, ...] = ()  # of the last evaluation


class RunLog:
    """Collects what a run folder says; each refresh() reads only what is new."""

    def __init__(self, run_id: str, run_dir: Path) -> None:
        self.run_id = run_id
        self._metrics = LineReader(run_dir / METRICS_FILE)
        self._events = LineReader(run_dir / EVENTS_FILE)
        self._samples = LineReader(run_dir / SAMPLES_FILE)
        self._series: dict[str, dict[int, float]] = {}
        self._last: dict[str, Any] = {}
        self._seen: list[RunEvent] = []
        self._answers: list[SampleAnswer] = []

    def refresh(self) -> list[RunMetric]:
        """Read on; returns the new figures."""
        found: list[RunMetric] = []
        for line in self._metrics.read_new():
            found += self._take_metrics(line)
        for line in self._events.read_new():
            self._take_event(line)
        for line in self._samples.read_new():
            self._take_sample(line)
        return found

    def _take_metrics(self, line: dict[str, Any]) -> Iterator[RunMetric]:
        self._last |= line
        step = int(line.get("step", 0))
        for name, value in line.items():
            if name in _NOT_FIGURES or not isinstance(value, int | float):
                continue
            self._series.setdefault(name, {})[step] = float(value)
            yield RunMetric(self.run_id, step, name, float(value), str(line.get("time", "")))

    def _take_event(self, line: dict[str, Any]) -> None:
        kind, message = str(line.pop("kind", "")), str(line.pop("message", ""))
        at = str(line.pop("time", ""))
        if kind == "resumed":  # figures after the checkpoint are computed again
            self._forget_after(int(line.get("step", 0)))
        self._seen.append(RunEvent(kind, message, at, line))

    def _forget_after(self, step: int) -> None:
        for series in self._series.values():
            for later in [number for number in series if number > step]:
                del series[later]

    def _take_sample(self, line: dict[str, Any]) -> None:
        names = ("prompt", "expected", "answer")
        step = int(line.get("step", 0))
        if self._answers and self._answers[-1].step != step:
            self._answers = []
        self._answers.append(SampleAnswer(step, *(str(line.get(name, "")) for name in names)))

    def progress(self, state: RunState) -> RunProgress:
        """Everything that was read, as one picture."""
        last = self._seen[-1] if self._seen else RunEvent("queued", "Waiting to start.", "")
        step = int(self._last.get("step", 0))
        return RunProgress(
            run_id=self.run_id,
            state=state,
            step=step,
            total_steps=int(self._last.get("total_steps", 0)),
            loss=self._latest("loss"),
            eval_loss=self._latest("eval_loss"),
            learning_rate=self._latest("learning_rate"),
            tokens_per_s=self._latest("tokens_per_s"),
            memory_mb=self._latest("memory_mb"),
            eta_s=self._eta_s() if state == "running" else None,
            code=last.kind,
            message=last.message,
            losses=_thin(self._series.get("loss", {})),
            eval_losses=_thin(self._series.get("eval_loss", {})),
            events=tuple(self._seen),
            samples=tuple(self._answers),
        )

    def _latest(self, name: str) -> float | None:
        series = self._series.get(name)
        return series[max(series)] if series else None

    def _eta_s(self) -> float | None:
        """Seconds left at the pace since training began, evaluations included."""
        begun = [event for event in self._seen if event.kind in ("training", "resumed")]
        if not begun or "time" not in self._last:
            return None
        first = int(begun[-1].values.get("step", 0))
        done = int(self._last["step"]) - first
        if done < 1:
            return None
        elapsed_s = _seconds(self._last["time"]) - _seconds(begun[-1].at)
        left = int(self._last.get("total_steps", 0)) - int(self._last["step"])
        return max(0.0, left * elapsed_s / done)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _thin(series: dict[int, float]) -> list[tuple[int, float]]:
    """At most so many points as a plot can show, the last one among them."""
    points = sorted(series.items())
    every = -(-len(points) // _MOST_POINTS) or 1
    return points[len(points) % every - 1 :: every] if every > 1 else points
