"""What memory this machine has, read without torch: the card by nvidia-smi, the rest by psutil."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from finetune.memory import GIB, MIB, Machine

_QUERY: Final = "memory.total,memory.free,compute_cap"
_TIMEOUT_S: Final = 10
_NO_SERVER: Final = GIB  # the driver, a screen, a context of our own: nobody talks to those


def find_machine(device: str = "auto", *, can_sleep: bool = False) -> Machine:
    """The card where there is one and it is wanted, else the memory of the CPU.

    What is in use on the card counts as the server's, if it is more than a screen takes.
    """
    if device in ("auto", "cuda"):
        card = _find_card()
        if card is not None:
            return replace(card, can_sleep=can_sleep)
    memory = psutil.virtual_memory()
    return Machine("cpu", total=int(memory.total), free=int(memory.available), has_bf16=False)


def may_have_card() -> bool:
    """Whether an NVIDIA driver may be here, without asking it. Under WSL it is not in /proc, and in
    some containers only its tool is seen.
    """
    marks = (Path("/proc/driver/nvidia"), Path("/dev/dxg"))
    has_mark = any(mark.exists() for mark in marks)
    return has_mark or sys.platform == "win32" or shutil.which("nvidia-smi") is not None


def _find_card() -> Machine | None:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return None
    index = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    answer = _ask_driver(_QUERY, "-i", index)
    try:
        return read_card(answer) if answer else None
    except ValueError:
        return None


def find_freest_card() -> str | None:
    """The card with the most free memory, by its lasting id; None where there is no choice."""
    answer = _ask_driver("index,uuid,memory.free")
    return pick_freest(answer, os.environ.get("CUDA_VISIBLE_DEVICES")) if answer else None


def pick_freest(text: str, visible: str | None) -> str | None:
    """From the lines of nvidia-smi: index, id, free MiB. visible: as CUDA_VISIBLE_DEVICES says."""
    cards = [[part.strip() for part in line.split(",")] for line in text.strip().splitlines()]
    known = [card for card in cards if len(card) == 3 and card[2].isdigit()]
    if visible is not None:
        wanted = [name.strip() for name in visible.split(",")]
        known = [card for card in known if card[0] in wanted or card[1] in wanted]
    if len(known) < 2:
        return None
    return max(known, key=lambda card: int(card[2]))[1]


def _ask_driver(query: str, *options: str) -> str | None:
    """What nvidia-smi says; None where it is missing or says nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={query}", "--format=csv,noheader,nounits", *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def read_card(text: str) -> Machine:
    """From one line of nvidia-smi: total and free MiB, compute capability."""
    total, free, capability = (part.strip() for part in text.strip().splitlines()[0].split(","))
    return describe_card(int(total) * MIB, int(free) * MIB, int(capability.split(".")[0]))


def describe_card(total: int, free: int, major_capability: int) -> Machine:
    """A card by its bytes and the first number of its compute capability."""
    used = total - free
    return Machine(
        device="cuda",
        total=total,
        free=free,
        server=used if used > _NO_SERVER else 0,
        has_bf16=major_capability >= 8,
    )
