import pytest

from finetune.acceleration import Acceleration, choose_acceleration


@pytest.mark.parametrize(
    ("device", "precision", "has_varlen", "expected"),
    [
        ("cuda", "bf16", True, True),
        ("cuda", "fp16", True, True),
        ("cuda", "fp32", True, False),  # the kernel takes halves only
        ("cuda", "bf16", False, False),
        ("cpu", "fp32", True, False),
    ],
)
def test_padding_is_saved_where_the_card_has_the_kernel(
    device: str, precision: str, has_varlen: bool, expected: bool
) -> None:
    chosen = choose_acceleration(device, precision, has_varlen=has_varlen)
    is_usual = device == "cuda" and not expected
    assert chosen == Acceleration(varlen=expected, repeated_keys=is_usual)
