"""Whatever the model server does, people get a sentence in time, and the next question is answered.
The full patience is measured in benchmarks/abuse.py; here everything is fifty times as quick.
"""

import pytest

from tests.chatbot.engine_faults import FAULTS, Times, meet

QUICK = Times(0.02)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_said_in_a_sentence_and_passes(fault: str) -> None:
    told = await meet(fault, QUICK)
    assert told.sentence.rstrip().endswith(("요.", "s."))
    assert told.seconds < 3
    assert told.comes_back


def test_there_are_eighteen() -> None:
    assert len(set(FAULTS)) == 18
