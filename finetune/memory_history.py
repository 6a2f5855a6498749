"""What earlier runs on this machine really used, so that the next plan is nearer to it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetune.job import write_json
from finetune.run_files import read_json

DEVICES: Final = ("cpu", "cuda")
_FILE: Final = "memory.json"
_LOWEST, _HIGHEST = 0.5, 4.0  # of what is predicted for activations and logits
_AFTER_SHORTAGE: Final = 1.25  # the plan was too low, whatever the peak was
# A correction belongs to the formula that it corrects: raise this with what memory.py computes for
# the device, or what trainer.py keeps there, and earlier ones are forgotten.
_FORMULAS: Final[Mapping[str, int]] = {"cuda": 2}


def correction_of(memory: Mapping[str, Any]) -> float | None:
    """By what the predicted activations and logits must be multiplied to give the measured peak.

    memory: of a run's result. None when it says nothing.
    """
    with contextlib.suppress(KeyError, TypeError, ZeroDivisionError):
        estimate, before = memory["estimate_mib"], float(memory["correction"])
        fixed = float(estimate["process"] + estimate["weights"] + estimate["adapter"])
        moving = float(estimate["activations"] + estimate["logits"]) / before
        factor = max(_LOWEST, (float(memory["peak_mib"]) - fixed) / moving)
        if memory["num_shortages"]:
            factor = max(factor, before) * _AFTER_SHORTAGE
        return min(_HIGHEST, factor)
    return None


def read_corrections(data_dir: Path, base_model: str) -> dict[str, float]:
    """The last correction for this base on each device; 1 where none is known."""
    known = read_json(data_dir / "runs" / _FILE) or {}
    return {device: _read_one(known, _key(base_model, device)) for device in DEVICES}


def _key(base_model: str, device: str) -> str:
    formula = _FORMULAS.get(device)
    return f"{base_model}|{device}" + (f"|{formula}" if formula else "")


def _read_one(known: Mapping[str, Any], key: str) -> float:
    value = known.get(key)
    is_sound = isinstance(value, int | float) and _LOWEST <= value <= _HIGHEST
    return float(value) if is_sound and value is not None else 1.0


def raise_corrections(corrections: Mapping[str, float]) -> dict[str, float]:
    """After a shortage of which nothing else is known."""
    return {
        device: min(_HIGHEST, max(1.0, value) * _AFTER_SHORTAGE)
        for device, value in corrections.items()
    }


def remember_memory(data_dir: Path, base_model: str, result: Mapping[str, Any]) -> None:
    """Keep what a run of this base has shown."""
    memories = [stage.get("memory") for stage in (result, result.get("sft") or {})]
    found = [(correction_of(item), item["load"]["device"]) for item in memories if item]
    factors = [(factor, device) for factor, device in found if factor is not None]
    if not factors:
        return
    factor, device = max(factors)  # of two stages the one that needed more than was thought
    _keep(data_dir, base_model, {device: factor})


def remember_shortage(data_dir: Path, base_model: str) -> None:
    """Keep that a run of this base was ended by force; it could not say what it took."""
    _keep(data_dir, base_model, raise_corrections(read_corrections(data_dir, base_model)))


def _keep(data_dir: Path, base_model: str, factors: Mapping[str, float]) -> None:
    path = data_dir / "runs" / _FILE
    named = {_key(base_model, device): round(factor, 3) for device, factor in factors.items()}
    write_json(path, {**(read_json(path) or {}), **named})
