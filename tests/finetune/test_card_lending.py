import threading
from pathlib import Path

import pytest

from finetune.card_lending import NEEDS_CARD, lending_card, wait_for_card
from tests.finetune.fake_serving import FakeServing


def test_the_server_sleeps_from_the_request_to_the_end_of_the_run(tmp_path: Path) -> None:
    server = FakeServing()
    with lending_card(server, tmp_path) as on_event:
        on_event("loading")
        assert not server.is_asleep
        on_event(NEEDS_CARD)
        on_event(NEEDS_CARD)
        assert server.is_asleep
        assert wait_for_card(tmp_path)
        on_event("training")
        assert server.is_asleep
    assert not server.is_asleep
    assert server.num_sleeps == 1
    assert not wait_for_card(tmp_path, timeout_s=0)  # a resumed run must ask again


def test_a_run_that_fails_leaves_the_server_awake(tmp_path: Path) -> None:
    server = FakeServing()

    def run() -> None:
        with lending_card(server, tmp_path) as on_event:
            on_event(NEEDS_CARD)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        run()
    assert (server.num_sleeps, server.is_asleep) == (1, False)


def test_a_server_that_cannot_sleep_gives_no_card(tmp_path: Path) -> None:
    class Sleepless(FakeServing):
        def sleep(self) -> None:
            raise RuntimeError("an answer does not end")

    with pytest.raises(RuntimeError), lending_card(Sleepless(), tmp_path) as on_event:
        on_event(NEEDS_CARD)
    assert not wait_for_card(tmp_path, timeout_s=0)


def test_the_training_waits_until_the_card_is_free(tmp_path: Path) -> None:
    server = FakeServing()
    found = []
    training = threading.Thread(target=lambda: found.append(wait_for_card(tmp_path, 10)))
    training.start()
    with lending_card(server, tmp_path) as on_event:
        on_event(NEEDS_CARD)
        training.join(10)
    assert found == [True]
