import pytest

from benchmarks.gpu.ladder import climb
from benchmarks.gpu.results import Measured
from benchmarks.gpu.sections import find_section

RUNGS = [cell.name for cell in find_section("levers").cells]
GONE = Measured("", error="not possible: liger-kernel is not installed")


def test_the_first_rung_has_every_lever_off() -> None:
    options = climb("start", {})
    assert options == {
        "rows_at_once": 1,
        "gradient_checkpointing": True,
        "whole_logits": True,
        "varlen": False,
        "layer_kernels": False,
        "torch_compile": False,
        "optimizer": "adamw_torch",
    }


def test_the_last_rung_has_every_lever_on() -> None:
    options = climb(RUNGS[-1], {})
    assert options == {
        "rows_at_once": 16,
        "gradient_checkpointing": False,
        "whole_logits": False,
        "varlen": True,
        "layer_kernels": True,
        "torch_compile": True,
        "optimizer": "adamw_torch_fused",
    }


@pytest.mark.parametrize("number", range(1, len(RUNGS)))
def test_each_rung_changes_one_lever(number: int) -> None:
    below, here = climb(RUNGS[number - 1], {}), climb(RUNGS[number], {})
    assert sum(below[name] != here[name] for name in here) == 1


def test_a_lever_that_could_not_be_tried_is_left_out_above_it() -> None:
    assert not climb("fused-optimizer", {"liger": GONE})["layer_kernels"]
    assert climb("liger", {"liger": GONE})["layer_kernels"]  # it is tried again


def test_there_is_no_other_rung() -> None:
    with pytest.raises(ValueError, match="warp"):
        climb("warp", {})
