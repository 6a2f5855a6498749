from typing import Any

from chatbot.ui.adapters_view import AdaptersView, render_adapters
from feedback_store.records import Adapter, AliasEvent, Dataset
from tests.chatbot.ui.records import EVIL


def make_adapter(version: str, outcome: str = "pass", **values: Any) -> Adapter:
    usual: dict[str, Any] = {
        "version": version,
        "run_id": None,
        "dataset_id": "d1",
        "base_model": "starter",
        "path": f"adapters/{version}",
        "report": {"metrics": [], "answers": []},
        "verdict": {"outcome": outcome, "reasons": []},
        "state": "passed" if outcome == "pass" else "refused",
        "created_at": "2026-11-21T05:14:56.123Z",
    }
    return Adapter(**{**usual, **values})


def test_without_versions_the_base_model_is_marked_as_live() -> None:
    html = render_adapters(AdaptersView("ko", ()))
    assert 'id="adapters-empty"' in html
    assert html.count("사용 중") == 1


def test_the_version_that_answers_is_marked_and_has_no_promote_button() -> None:
    adapters = (make_adapter("v0002"), make_adapter("v0001"))
    html = render_adapters(AdaptersView("ko", adapters, production="v0002"))
    assert 'id="adapter-current" data-version="v0002"' in html
    assert 'id="adapter-promote-v0002"' not in html
    assert 'id="adapter-promote-v0001"' in html


def test_a_refused_version_can_only_be_used_with_a_reason() -> None:
    html = render_adapters(AdaptersView("ko", (make_adapter("v0003", "fail"),)))
    assert 'id="adapter-promote-v0003"' not in html
    assert 'id="adapter-reason-v0003"' in html
    assert "required" in html


def test_a_retired_version_cannot_be_used() -> None:
    html = render_adapters(AdaptersView("ko", (make_adapter("v0001", state="retired"),)))
    assert "adapter-promote" not in html
    assert "은퇴" in html


def test_rolling_back_names_where_it_leads() -> None:
    view = AdaptersView(
        "ko",
        (make_adapter("v0002"), make_adapter("v0001")),
        production="v0002",
        previous="v0001",
        can_roll_back=True,
    )
    assert "되돌리기 · v0001" in render_adapters(view)
    assert "adapter-rollback" not in render_adapters(AdaptersView("ko", ()))


def test_the_size_of_the_dataset_is_shown() -> None:
    datasets = {"d1": Dataset(dataset_id="d1", path="datasets/d1", num_train=90, num_validation=10)}
    html = render_adapters(AdaptersView("en", (make_adapter("v0001"),), datasets=datasets))
    assert "100 examples" in html


def test_the_same_questions_stand_side_by_side_with_the_version_before() -> None:
    def report(text: str) -> dict[str, Any]:
        answer = {"answer_id": "a1", "prompt": EVIL, "text": text}
        return {"metrics": [], "answers": [answer]}

    adapters = (
        make_adapter("v0002", report=report("new answer")),
        make_adapter("v0001", report=report("old answer")),
    )
    html = render_adapters(AdaptersView("en", adapters))
    first = html.split('data-version="v0001"')[0]
    assert "new answer" in first
    assert "old answer" in first
    assert "<img" not in html


def test_the_history_translates_our_own_words_and_escapes_those_of_people() -> None:
    def event(event_id: int, reason: str) -> AliasEvent:
        return AliasEvent(
            event_id=event_id,
            alias="production",
            from_version=None,
            to_version="v0001",
            actor=EVIL,
            reason=reason,
            created_at="2026-11-21T05:14:56.123Z",
        )

    events = (event(1, "passed the gate: Better."), event(2, EVIL))
    html = render_adapters(AdaptersView("ko", (), events=events, message=EVIL))
    assert "판정을 통과해 자동으로 바뀜" in html
    assert "기본 모델 → v0001" in html
    assert "<img" not in html
