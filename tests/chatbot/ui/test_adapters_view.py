from typing import Any

import pytest

from chatbot.ui.adapters_view import AdaptersView, render_adapters
from chatbot.ui.compare_view import Comparison
from chatbot.ui.i18n import t
from chatbot.ui.version_card import VersionCard
from feedback_store.records import Adapter, AliasEvent
from finetune.canary import CanaryStatus, Trial
from finetune.sequential import Thumbs
from finetune.swap import Unserved
from finetune.version_diff import VersionDiff
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


def make_event(reason: str, **values: Any) -> AliasEvent:
    usual: dict[str, Any] = {
        "event_id": 1,
        "alias": "production",
        "from_version": None,
        "to_version": "v0001",
        "actor": "retrain",
        "reason": reason,
        "created_at": "2026-11-21T05:14:56.123Z",
    }
    return AliasEvent(**{**usual, **values})


def make_view(*cards: VersionCard, lang: str = "ko", **values: Any) -> AdaptersView:
    return AdaptersView(lang, cards, **values)


def make_card(version: str, outcome: str = "pass", **values: Any) -> VersionCard:
    return VersionCard(make_adapter(version, outcome), **values)


def test_without_versions_the_base_model_is_marked_as_live() -> None:
    html = render_adapters(make_view())
    assert 'id="adapters-empty"' in html
    assert html.count("사용 중") == 1
    assert "adapters-line" not in html


def test_the_version_that_answers_is_marked_and_has_no_promote_button() -> None:
    cards = (make_card("v0002", is_production=True), make_card("v0001"))
    html = render_adapters(make_view(*cards, production="v0002"))
    assert 'id="adapter-current" data-version="v0002"' in html
    assert 'id="adapter-promote-v0002"' not in html
    assert 'id="adapter-promote-v0001"' in html


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_while_production_waits_the_base_is_what_answers_and_it_is_said_why(lang: str) -> None:
    cards = (make_card("v0002", is_production=True, is_waiting=True), make_card("v0001"))
    values = {"version": "v0002", "trained": EVIL, "serving": "starter"}
    waiting = Unserved("The English sentence.", False, "wrong_base", values)
    html = render_adapters(make_view(*cards, lang=lang, production="v0002", waiting=waiting))
    notice = html.split('id="adapters-waiting"')[1].split("</div>")[0]
    assert "&lt;img" in notice
    assert ">The English sentence." not in notice
    assert "<img" not in html
    assert 'id="adapter-current" data-version=""' in html
    line = html.split('id="adapters-line"')[1].split("</ol>")[0]
    assert line.count("eco-point-live") == 1
    assert 'eco-point-live" data-version=""' in line
    assert 'class="eco-box eco-version eco-version-live" id="version-base"' in html
    version = html.split('id="version-v0002"')[1].split("</article>")[0]
    assert t(lang, "waits") in version
    assert t(lang, "current") not in version
    assert 'id="adapter-promote-v0002"' not in html


def test_a_trial_rests_while_production_waits() -> None:
    trial = Trial("v0002", 0.2, "v0001", "2026-11-21T05:14:56.123Z", "admin")
    status = CanaryStatus(trial, "undecided", "", Thumbs(4, 10, 7, 25), 0.5, 4.0)
    gone = Unserved("The folder is gone.", False, "missing_file")
    for waiting, rests in ((gone, True), (None, False)):
        view = make_view(lang="en", production="v0001", waiting=waiting, trial=status)
        assert ("The trial rests meanwhile." in render_adapters(view)) is rests


def test_all_versions_stand_on_one_line_the_base_first() -> None:
    cards = (make_card("v0003", "fail"), make_card("v0002", is_production=True))
    html = render_adapters(make_view(*cards, production="v0002"))
    line = html.split('id="adapters-line"')[1].split("</ol>")[0]
    assert [line.index(f'data-version="{name}"') for name in ("", "v0002", "v0003")] == sorted(
        line.index(f'data-version="{name}"') for name in ("", "v0002", "v0003")
    )
    assert 'class="eco-point eco-point-pass eco-point-live" data-version="v0002"' in line
    assert 'class="eco-point eco-point-fail" data-version="v0003"' in line


def test_a_refused_version_can_only_be_used_with_a_reason() -> None:
    html = render_adapters(make_view(make_card("v0003", "fail")))
    assert 'id="adapter-promote-v0003"' not in html
    assert 'id="trial-start-v0003"' not in html
    assert 'id="adapter-reason-v0003"' in html
    assert "required" in html


def test_a_retired_version_cannot_be_used() -> None:
    adapter = make_adapter("v0001", state="retired")
    html = render_adapters(make_view(VersionCard(adapter, can_start_trial=True)))
    assert "adapter-promote" not in html
    assert "trial-start" not in html
    assert "은퇴" in html


def test_what_is_in_use_cannot_be_retired() -> None:
    cards = (
        make_card("v0004"),
        make_card("v0003", is_on_trial=True),
        make_card("v0002", is_production=True),
        make_card("v0001", is_way_back=True),
    )
    html = render_adapters(make_view(*cards, production="v0002"))
    offered = [f"v000{number}" for number in range(1, 5) if f"adapter-retire-v000{number}" in html]
    assert offered == ["v0004"]


def test_every_version_can_be_exported_and_where_it_went_is_said() -> None:
    cards = (make_card("v0002", is_production=True), make_card("v0001", "fail"))
    html = render_adapters(make_view(*cards, production="v0002", notice=EVIL))
    assert 'id="adapter-export-v0002"' in html
    assert 'id="adapter-export-v0001"' in html
    assert 'class="eco-notice eco-notice-info"' in html
    assert "<img" not in html


def test_rolling_back_names_where_it_leads() -> None:
    view = make_view(make_card("v0002"), production="v0002", previous="v0001", can_roll_back=True)
    assert "되돌리기 · v0001" in render_adapters(view)
    assert "adapter-rollback" not in render_adapters(make_view())


def test_a_version_tells_what_it_learned_from_and_who_promoted_it() -> None:
    diff = VersionDiff("v0001", "v0002", 120, 24, 3, (("r", 8, 16), ("target_modules", "a", EVIL)))
    event = make_event("passed the gate: Better.", to_version="v0002")
    html = render_adapters(make_view(make_card("v0002", diff=diff, promotion=event), lang="en"))
    assert "120 examples: 24 new, 3 gone" in html
    assert "<code>r</code> 8 → 16" in html
    since = '<time datetime="2026-11-21T05:14:56.123Z">2026-11-21 05:14</time>'
    assert f"Began to answer {since} · Retrain" in html
    assert "<img" not in html


def test_the_first_version_tells_how_much_it_learned_from() -> None:
    card = make_card("v0001", diff=VersionDiff(None, "v0001", 100, 100, 0, ()))
    html = render_adapters(make_view(card, lang="en"))
    assert "100 examples" in html
    assert "gone" not in html


def report(text: str, *, num_answers: int = 1) -> dict[str, Any]:
    answers = [
        {"answer_id": f"a{number}", "prompt": EVIL, "text": text, "constrained": number < 2}
        for number in range(num_answers)
    ]
    failures = [{"metric": "stuffed", "answer_id": "a0", "evidence": "…"}]
    return {"metrics": [], "answers": answers, "failures": failures}


def test_the_same_questions_stand_side_by_side_with_the_version_before() -> None:
    adapter = make_adapter("v0002", report=report("new answer"))
    card = VersionCard(adapter, before="v0001", before_report=report("old answer"))
    html = render_adapters(make_view(card))
    assert "new answer" in html
    assert "old answer" in html
    assert "한 칸에 몰림" in html
    assert "<img" not in html


def test_any_two_are_compared_on_at_most_twenty_answers() -> None:
    comparison = Comparison(
        "", "v0002", report("old", num_answers=30), report("new", num_answers=30)
    )
    html = render_adapters(make_view(make_card("v0002"), lang="en", comparison=comparison))
    shown = html.split('id="adapters-comparison"')[1].split("</section>")[0]
    assert shown.count("<tr>") == 21
    assert "Base model and v0002" in shown
    assert '<option value="" selected>' in html
    empty = Comparison("", "v0002", {}, {})
    html = render_adapters(make_view(make_card("v0002"), lang="en", comparison=empty))
    assert "Neither has been evaluated yet." in html


def measured(share: float, engine: dict[str, str]) -> dict[str, Any]:
    metric = {"name": "good_answer", "better": "higher", "unit": "share", "value": share}
    return {"metrics": [metric], "answers": [], "engine": engine}


@pytest.mark.parametrize(
    ("engine", "is_comparable"),
    [({"kind": "vllm"}, True), ({"kind": "transformers"}, False), ({}, True)],
)
def test_figures_of_different_engines_stand_without_their_difference(
    engine: dict[str, str], is_comparable: bool
) -> None:
    before, after = measured(0.5, engine), measured(0.8, {"kind": "vllm"})
    card = VersionCard(make_adapter("v0002", report=after), before="v0001", before_report=before)
    comparison = Comparison("v0001", "v0002", before, after)
    html = render_adapters(make_view(card, comparison=comparison))
    compared = html.split('id="adapters-comparison"')[1].split("</section>")[0]
    own = html.split('id="version-v0002"')[1].split("</article>")[0]
    for part in (compared, own):
        assert "80%" in part
        assert ("+30" in part) is is_comparable
        assert ("엔진이 서로 달라" in part) is not is_comparable
    assert ("v0001 버전과 비교한 차이" in own) is is_comparable


def test_a_trial_shows_what_people_say_and_the_way_out() -> None:
    trial = Trial("v0002", 0.2, None, "2026-11-21T05:14:56.123Z", "admin")
    status = CanaryStatus(trial, "undecided", "", Thumbs(4, 10, 7, 25), 0.5, 4.0)
    card = make_card("v0002", is_on_trial=True)
    html = render_adapters(make_view(card, make_card("v0001"), lang="en", trial=status))
    assert 'id="adapter-trial" data-version="v0002" data-decision="undecided"' in html
    assert "20% of the conversations" in html
    assert "7 / 10" in html
    assert "25 / 40" in html
    assert 'id="trial-stop"' in html
    assert "trial-start-v0001" not in html  # one at a time


@pytest.mark.parametrize(
    ("num_blocks", "told"),
    [(2, "의견이 5묶음은 모여야 해요"), (5, "꼭 필요한 의견 5묶음이 모였어요")],
)
def test_a_trial_names_the_fewest_thumbs_that_may_decide(num_blocks: int, told: str) -> None:
    trial = Trial("v0002", 0.2, None, "2026-11-21T05:14:56.123Z", "admin")
    thumbs = Thumbs(4, num_blocks, 1, 7)
    status = CanaryStatus(trial, "undecided", "", thumbs, 0.5, 4.0, min_blocks=5)
    rule = render_adapters(make_view(trial=status)).split('id="trial-fewest">')[1]
    assert told in rule
    assert f"지금까지 {num_blocks}묶음" in rule


def test_the_history_translates_our_own_words_and_escapes_those_of_people() -> None:
    events = (
        make_event("passed the gate: Better."),
        make_event(EVIL, actor=EVIL),
        make_event(f"override: {EVIL}"),
        make_event("trial begun by hand", alias="canary", share=0.2),
        make_event(
            "People like it less (v0001: 1 of 9 conversations liked; v0002: 30 of 36; e = 24).",
            alias="canary",
            from_version="v0001",
            to_version=None,
            actor="canary",
        ),
    )
    html = render_adapters(make_view(events=events, message=EVIL))
    assert "판정을 통과해 자동으로 바뀜" in html
    assert "기본 모델 → v0001" in html
    assert "v0001 시험 시작 20%" in html
    assert "v0001 시험 끝" in html
    assert "사람들이 덜 좋아했어요 (1/9 · 30/36)" in html
    assert "<img" not in html
