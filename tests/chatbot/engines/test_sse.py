import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.engines.sse import MAX_EVENT_CHARS, BrokenEvents, SseDecoder

STREAM = (
    ': hello\n\ndata: {"a":"산\u2028에 \x85서"}\r\n\r\nevent: x\ndata:one\ndata: two\n\n'
    "id: 3\n\ndata: 🧑‍🌾\n\ndata: [DONE]\n\n"
).encode()
EVENTS = ['{"a":"산\u2028에 \x85서"}', "one\ntwo", "🧑‍🌾", "[DONE]"]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    decoder, places = SseDecoder(), [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in itertools.pairwise(places)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS


def test_an_unfinished_event_is_not_given() -> None:
    assert SseDecoder().feed(b"data: half\n") == []


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(BrokenEvents, match="UTF-8"):
        SseDecoder().feed(b"data: \xff\n\n")


def test_a_line_without_end_is_refused() -> None:
    decoder = SseDecoder()
    decoder.feed(b"x" * MAX_EVENT_CHARS)
    with pytest.raises(BrokenEvents, match="no end"):
        decoder.feed(b"x")
