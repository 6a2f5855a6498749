"""How much may be asked."""

import pytest

from chatbot.errors import ChatError
from chatbot.limits import AnswerLimits, LimitSettings


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_minute_slides() -> None:
    clock = Clock()
    limits = AnswerLimits(LimitSettings(num_per_minute=2), clock)
    for clock.now in (0.0, 30.0):
        with limits.answering("p"):
            pass
    clock.now = 59.0
    with pytest.raises(ChatError, match="2 questions in a minute") as caught, limits.answering("p"):
        pass
    assert caught.value.retry_after_s == 1.0
    clock.now = 61.0
    with limits.answering("p"):
        pass


def test_people_who_were_quiet_for_a_minute_are_forgotten() -> None:
    clock = Clock()
    limits = AnswerLimits(LimitSettings(), clock)
    for number in range(1000):
        with limits.answering(f"p{number}"):
            pass
    clock.now = 61.0
    with limits.answering("last"):
        pass
    assert list(limits._begun) == ["last"]
    assert limits._running == {}


def test_a_place_comes_back_when_the_answer_fails() -> None:
    limits = AnswerLimits(LimitSettings(num_streams=1))
    with pytest.raises(OSError), limits.answering("p"):
        raise OSError
    with limits.answering("q"):
        assert limits.num_running == 1


def test_a_limit_of_none_at_all_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="num_at_once must be 1 or more"):
        LimitSettings(num_at_once=0)
