"""What a measurement is made with, and how it says that it cannot be made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.results import Measured


class NotPossible(RuntimeError):
    """Something that this measurement needs is not here; the message says what."""


@dataclass(frozen=True)
class Context:
    """Where a section runs. work holds models between calls."""

    work: Path
    is_dry: bool
    known: Mapping[str, Measured]  # this section's measurements so far

    @property
    def device(self) -> str:
        """cuda, or cpu in a dry run."""
        return "cpu" if self.is_dry else "cuda"
