import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.engines.repetition import goes_round


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], False),
        ([5] * 7, False),
        ([5] * 8, True),
        ([9, 9, *[1, 2, 3] * 8], True),
        ([1, 2, 3] * 7, False),
        ([*[1, 2, 3] * 8, 4], False),
        (list(range(21)) * 9, False),
        (list(range(20)) * 8, True),
    ],
)
def test_eight_times_the_same_pattern_goes_round(tokens: list[int], expected: bool) -> None:
    assert goes_round(tokens) is expected


@given(
    start=st.lists(st.integers(0, 3)), pattern=st.lists(st.integers(0, 3), min_size=1, max_size=20)
)
def test_any_short_pattern_is_found(start: list[int], pattern: list[int]) -> None:
    assert goes_round(start + pattern * 8)
