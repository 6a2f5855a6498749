"""What memory the machine has."""

from pathlib import Path

import pytest

from finetune.machine import find_machine, may_have_card, pick_freest, read_card
from finetune.memory import GIB, MIB


def test_a_card_is_read_from_one_line_of_nvidia_smi() -> None:
    card = read_card("24576, 18000, 8.6\n")
    assert (card.device, card.total, card.free) == ("cuda", 24576 * MIB, 18000 * MIB)
    assert card.server == 6576 * MIB
    assert card.has_bf16


def test_the_memory_of_a_screen_is_no_server() -> None:
    assert read_card("24576, 23900, 8.6\n").server == 0


def test_a_card_of_the_generation_before_has_no_bf16() -> None:
    assert not read_card("15360, 15000, 7.5").has_bf16


def test_nonsense_is_no_card() -> None:
    with pytest.raises(ValueError):
        read_card("No devices were found")


TWO_CARDS = "0, GPU-aa, 1200\n1, GPU-bb, 23900\n"


@pytest.mark.parametrize(
    ("text", "visible", "expected"),
    [
        (TWO_CARDS, None, "GPU-bb"),  # the server talks on the first
        (TWO_CARDS, "0", None),  # no choice: as it is set
        (TWO_CARDS, "0,1", "GPU-bb"),
        (TWO_CARDS, "GPU-aa, GPU-bb", "GPU-bb"),
        (TWO_CARDS, "", None),
        ("0, GPU-aa, 1200\n", None, None),
        ("No devices were found", None, None),
    ],
)
def test_of_several_cards_the_freest_trains(
    text: str, visible: str | None, expected: str | None
) -> None:
    assert pick_freest(text, visible) == expected


def test_a_driver_that_shows_itself_only_by_its_tool_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert may_have_card()


def test_without_a_card_the_memory_of_the_machine_counts() -> None:
    machine = find_machine("cpu")
    assert machine.device == "cpu"
    assert GIB // 4 < machine.free <= machine.total
