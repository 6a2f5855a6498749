import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from chatbot.ui.own_data import MAX_A_MINUTE, MAX_AT_ONCE, OWN_DATA_PATH, serve_own_data
from chatbot.ui.parts import Parts
from feedback_store.store import Store
from tests.feedback_store import records


class SlowStore:
    """A store whose export takes until it may end."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()

    def export_person(self, person_id: str) -> dict[str, Any]:
        self.begun.release()
        self.may_end.wait(10)
        return {"person_id": person_id}


def client_of(store: Any) -> TestClient:
    nothing = cast("Any", None)
    parts = Parts(
        nothing, store, nothing, nothing, identify=lambda request: (request.headers["who"], None)
    )
    app = FastAPI()
    app.add_api_route(OWN_DATA_PATH, serve_own_data(parts))
    return TestClient(app)


def ask(client: TestClient, who: str) -> Any:
    return client.get(OWN_DATA_PATH, headers={"who": who})


def test_own_data_comes_as_a_file_that_nothing_between_keeps(store: Store) -> None:
    store.add_conversation(records.conversation())
    store.add_turn(records.turn(user_text="쓰레기를 줄이고 싶어요"))
    client = client_of(store)
    answer = ask(client, "ann")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == "attachment; filename=my-data.json"
    assert [turn["user_text"] for turn in answer.json()["turns"]] == ["쓰레기를 줄이고 싶어요"]
    assert ask(client, "bob").json()["turns"] == []


def test_so_many_downloads_a_minute_and_no_more(store: Store) -> None:
    client = client_of(store)
    assert {ask(client, "ann").status_code for _ in range(MAX_A_MINUTE)} == {200}
    refused = ask(client, "ann")
    assert refused.status_code == 429
    assert 50 < int(refused.headers["retry-after"]) <= 60
    assert "내 데이터" in refused.json()["message"]
    assert ask(client, "bob").status_code == 200


@pytest.mark.parametrize("people", [["ann"], ["ann", "bob"]])
def test_only_so_many_are_put_together_at_once(people: list[str]) -> None:
    """One person's one at a time, and everybody's few: anybody may have any number of cookies."""
    slow = SlowStore()
    client = client_of(slow)
    with ThreadPoolExecutor() as threads:
        first = [threads.submit(ask, client, person) for person in people]
        for _ in people:
            assert slow.begun.acquire(timeout=10)
        newcomer = "carl" if len(people) == MAX_AT_ONCE else "ann"
        assert ask(client, newcomer).status_code == 429
        slow.may_end.set()
        assert [asked.result(10).status_code for asked in first] == [200] * len(people)
    assert ask(client, newcomer).status_code == 200
