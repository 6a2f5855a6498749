from pathlib import Path
from typing import Any

import pytest

from finetune.base_loading import _precision, find_training_machine, load_model
from finetune.memory import GIB


@pytest.mark.parametrize(
    ("wanted", "capability", "expected"),
    [
        ("bf16", (9, 0), "bf16"),
        ("bf16", (8, 0), "bf16"),
        ("bf16", (7, 5), "fp16"),  # torch would emulate it
        ("fp16", (9, 0), "fp16"),  # as the recipe says
        ("fp32", (9, 0), "fp32"),
    ],
)
def test_a_card_gets_the_numbers_that_it_really_has(
    wanted: str, capability: tuple[int, int], expected: str
) -> None:
    assert _precision(wanted, capability) == expected


class Card:
    """What torch says on a machine with cards; here there is none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        self.current = 0
        answers: dict[str, Any] = {
            "set_device": self.take,
            "current_device": lambda: self.current,
            "mem_get_info": lambda: (10 * GIB, 24 * GIB),
            "get_device_capability": lambda: (7, 5),
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def take(self, number: int) -> None:
        self.current = number


@pytest.mark.slow
def test_a_card_that_only_torch_sees_is_planned_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Card(monkeypatch)
    tool = tmp_path / "nvidia-smi"  # as on a part of a card: it knows no such id
    tool.write_text("#!/bin/sh\nexit 6\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    machine = find_training_machine("cuda", can_sleep=True)
    assert (machine.device, machine.total, machine.has_bf16) == ("cuda", 24 * GIB, False)
    assert 10 * GIB < machine.free < 11 * GIB
    assert machine.server == machine.total - machine.free
    assert machine.can_sleep
    assert find_training_machine("cpu").device == "cpu"


@pytest.mark.slow
def test_each_of_several_processes_loads_onto_its_own_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import AutoModelForCausalLM

    from finetune.base_loading import Hardware
    from finetune.job import Base

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda _path, **options: asked.append(options)
    )
    Card(monkeypatch)
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        load_model(Base("tiny", "nowhere"), Hardware("cuda", "bf16"))
    assert [options["device_map"] for options in asked] == [{"": 0}, {"": 1}]
