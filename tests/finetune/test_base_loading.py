import pytest

from finetune.base_loading import _precision


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
