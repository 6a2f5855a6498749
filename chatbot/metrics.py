"""Figures for Prometheus, in a registry of their own."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chatbot.service import ChatService
from feedback_store.records import Turn

_FIRST_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1, 2, 5, 10, 30)
_ANSWER_S: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120)


class Metrics:
    """Counts what the service does, and what the API is asked."""

    def __init__(self, service: ChatService) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._answers = Counter(
            "ecoloop_answers", "Answers by outcome.", ["status", "adapter"], registry=self.registry
        )
        self._tokens = Counter(
            "ecoloop_tokens", "Tokens read and written.", ["kind"], registry=self.registry
        )
        self._first_token = Histogram(
            "ecoloop_time_to_first_token_seconds",
            "From the request to the first token.",
            buckets=_FIRST_TOKEN_S,
            registry=self.registry,
        )
        self._duration = Histogram(
            "ecoloop_answer_seconds",
            "From the request to the last token.",
            buckets=_ANSWER_S,
            registry=self.registry,
        )
        self._requests = Counter(
            "ecoloop_api_requests",
            "Requests to the API by status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._add_gauges()
        service.observers.append(self.count_turn)

    def _add_gauges(self) -> None:
        running = Gauge(
            "ecoloop_answers_running", "Answers being written now.", registry=self.registry
        )
        running.set_function(lambda: self._service.limits.num_running)
        ready = Gauge("ecoloop_engine_ready", "1 when the engine is ready.", registry=self.registry)
        ready.set_function(lambda: self._service.status().state == "ready")

    def count_turn(self, turn: Turn) -> None:
        """A turn was stored."""
        self._answers.labels(turn.status, turn.adapter or "base").inc()
        self._duration.observe(turn.duration_ms / 1000)
        if turn.time_to_first_token_ms is not None:
            self._first_token.observe(turn.time_to_first_token_ms / 1000)
        self._tokens.labels("prompt").inc(turn.prompt_tokens or 0)
        self._tokens.labels("completion").inc(turn.completion_tokens or 0)

    def count_request(self, route: str, method: str, status: int) -> None:
        """The API answered."""
        self._requests.labels(route, method, str(status)).inc()

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
