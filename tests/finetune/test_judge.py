"""A model as judge: swapped sides, and a voice only after agreeing with people."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from chatbot.prompts import Message
from feedback_store.records import Conversation, NewFeedback, NewTurn
from feedback_store.store import Store
from finetune.cases import held_out_cases
from finetune.evaluate import Candidate, EvaluationSettings, evaluate
from finetune.judge import (
    JudgeError,
    OpenAIJudge,
    Pair,
    calibrate,
    compare_reports,
    prefers_first,
    read_votes,
)
from tests.finetune.fake_serving import FakeServing

PAIR = Pair("질문", "아주 좋은 답", "나쁜 답")


def prefers_good(messages: Sequence[Message]) -> str:
    """Finds the good answer on whichever side it stands."""
    first, _, second = messages[-1]["content"].partition("Answer B:")
    if ("좋은" in first) == ("좋은" in second):
        return "T"
    return "A" if "좋은" in first else "B"


def likes_variety(messages: Sequence[Message]) -> str:
    """Prefers the answer with more different lines; people's votes it shares."""
    first, _, second = messages[-1]["content"].partition("Answer B:")
    if ("좋은 답" in first) != ("좋은 답" in second):
        return "A" if "좋은 답" in first else "B"
    lines = [len(set(part.splitlines())) for part in (first.partition("Answer A:")[2], second)]
    return "A" if lines[0] > lines[1] else "B"


@pytest.mark.parametrize(
    ("reply", "preferred"), [("A", None), ("B", None), ("T", None), ("no idea", None)]
)
def test_a_judge_that_likes_a_side_prefers_nothing(reply: str, preferred: bool | None) -> None:
    assert prefers_first(lambda messages: reply, PAIR) is preferred


def test_a_preference_that_survives_the_swap_counts() -> None:
    assert prefers_first(prefers_good, PAIR) is True
    assert prefers_first(prefers_good, Pair("질문", "나쁜 답", "아주 좋은 답")) is False


def test_equal_answers_are_not_even_shown() -> None:
    def never(messages: Sequence[Message]) -> str:
        raise AssertionError("asked")

    assert prefers_first(never, Pair("질문", "답", "답")) is None


def test_a_judge_that_agrees_with_people_is_trusted() -> None:
    found = calibrate(prefers_good, [PAIR] * 30)
    assert (found.num_votes, found.num_agreed, found.is_trusted) == (30, 30, True)


def test_a_judge_that_contradicts_people_or_saw_too_few_votes_is_not() -> None:
    against = Pair("질문", "나쁜 답", "아주 좋은 답")
    assert not calibrate(prefers_good, [against] * 30).is_trusted
    assert not calibrate(prefers_good, [PAIR, against] * 20).is_trusted
    assert not calibrate(prefers_good, [PAIR] * 19).is_trusted
    assert not calibrate(prefers_good, []).is_trusted


def test_two_reports_are_compared_on_what_people_would_get() -> None:
    cases, settings = held_out_cases(8), EvaluationSettings(num_cases=8)
    good = evaluate(FakeServing("good"), Candidate(None), cases, settings)
    other = evaluate(FakeServing("same-three"), Candidate(None), cases, settings)

    found = compare_reports(likes_variety, good, other)
    assert found == {a.answer_id: True for a in good.answers if a.constrained}


def add_vote(store: Store, number: int) -> None:
    """One round of the arena, as the screen keeps it."""
    store.add_conversation(
        Conversation(
            conversation_id=f"c{number}",
            person_id="p",
            origin="public",
            lang="ko",
            location="city",
            work_type="office",
            category="VEGAN",
            first_category="VEGAN",
        )
    )
    for text, adapter, reason in (
        ("나쁜 답", "v0001", "arena_loss:v0002"),
        ("좋은 답", "v0002", "arena_win:v0001"),
    ):
        turn = store.add_turn(
            NewTurn(
                conversation_id=f"c{number}",
                mode="free_text",
                user_text="질문",
                location="city",
                work_type="office",
                category="VEGAN",
                messages=(),
                raw_text=text,
                recommendation=None,
                adapter=adapter,
                status="ok",
                base_model="starter",
                prompt_hash="",
            )
        )
        rating = "like" if "win" in reason else None
        feedback = NewFeedback(
            turn_id=turn.turn_id, person_id="p", rating=rating, reasons=(reason,)
        )
        store.set_feedback(feedback)


def test_votes_of_the_arena_are_read_with_the_preferred_answer_first(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for number in range(3):
            add_vote(store, number)
        assert list(read_votes(store)) == [Pair("질문", "좋은 답", "나쁜 답")] * 3


class Handler(BaseHTTPRequestHandler):
    """A very small server that speaks OpenAI's chat API."""

    def do_POST(self) -> None:
        """Answer "B", or what is wrong."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_right = self.path == "/v1/chat/completions" and body["model"] == "judge"
        reply = {"choices": [{"message": {"content": "B"}}]} if is_right else {"error": "no"}
        content = json.dumps(reply).encode()
        self.send_response(200 if self.headers["Authorization"] == "Bearer key" else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_judge_is_asked_over_http(url: str) -> None:
    assert OpenAIJudge(url, "judge", "key")([{"role": "user", "content": "A or B?"}]) == "B"


@pytest.mark.parametrize(("model", "key"), [("other", "key"), ("judge", ""), ("judge", "wrong")])
def test_a_judge_that_fails_says_so_in_a_sentence(url: str, model: str, key: str) -> None:
    with pytest.raises(JudgeError, match=f"The judge at {url} gave no answer"):
        OpenAIJudge(url, model, key)([{"role": "user", "content": "A or B?"}])
