"""A flag: one doubt about an example, with what was seen and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Flag:
    """One doubt. `name` is stable (the screen translates by it), evidence quotes what was seen,
    fix says in a sentence what to do. params are the figures in the evidence, for other languages:
    "seen" names the sentence where a flag has several, "other" is the id of a second example.

    An error cannot be trained on as it stands; a warning needs a look; an info is good to know.
    """

    name: str
    severity: Severity
    evidence: str
    fix: str
    params: Mapping[str, str | int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As the store keeps it."""
        kept: dict[str, Any] = {
            "name": self.name,
            "severity": self.severity,
            "evidence": self.evidence,
            "fix": self.fix,
        }
        return {**kept, "params": dict(self.params)} if self.params else kept


def quote(text: str, limit: int = 60) -> str:
    """The start of a text as evidence, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shorten(values: Mapping[str, str | int], limit: int = 60) -> dict[str, str | int]:
    """Params from texts of any length."""
    return {k: quote(v, limit) if isinstance(v, str) else v for k, v in values.items()}
