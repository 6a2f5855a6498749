from typing import Any

import pytest

from chatbot.ui.finetune_view import (
    STAGES,
    FinetuneView,
    is_running,
    render_finetune,
)
from chatbot.ui.parts import Blocker
from feedback_store.records import Adapter
from finetune.preferences import Offer
from finetune.progress import LoopProgress
from finetune.run_progress import RunProgress, SampleAnswer
from tests.chatbot.ui.records import EVIL
from tests.chatbot.ui.scripted_learning import EVENTS, make_broken_off

ADAPTER = Adapter(
    version="v0002",
    run_id=None,
    dataset_id=None,
    base_model="starter",
    path="adapters/v0002",
    verdict={"outcome": "pass", "reasons": [{"code": "x", "message": "Better.", "params": {}}]},
)


def make_view(**values: Any) -> FinetuneView:
    usual: dict[str, Any] = {
        "lang": "ko",
        "recipes": ("balanced", "quick", "overnight-v2"),
        "recipe": "balanced",
        "num_accepted": 30,
    }
    return FinetuneView(**{**usual, **values})


def test_the_button_is_ready_when_nothing_is_missing() -> None:
    html = render_finetune(make_view())
    assert 'id="retrain-start" aria-describedby="retrain-missing">' in html
    assert "30개" in html


def test_the_button_says_what_is_missing() -> None:
    html = render_finetune(make_view(blockers=(Blocker("too_few_examples", "x", 12, 20),)))
    assert "8개 더 필요해요 (12 / 20)" in html
    assert 'aria-describedby="retrain-missing" disabled>' in html


def test_an_unknown_blocker_keeps_its_sentence() -> None:
    html = render_finetune(make_view(lang="en", blockers=(Blocker("new", "No disk left."),)))
    assert "No disk left." in html


def test_experiments_of_others_are_folded_away_and_the_chosen_recipe_is_checked() -> None:
    html = render_finetune(make_view(recipe="quick"))
    assert 'id="recipe-quick" checked' in html
    assert html.index("eco-log") < html.index('id="recipe-overnight-v2"')


@pytest.mark.parametrize("stage", ["dataset", "train", "load", "evaluate", "gate", "publish"])
def test_every_stage_is_marked_while_it_runs(stage: Any) -> None:
    html = render_finetune(make_view(progress=LoopProgress(stage, "m", 0.5)))
    assert f'data-stage="{stage}"' in html
    assert html.count('aria-current="step"') == 1
    assert 'id="retrain-cancel"' in html
    assert 'id="retrain-start"' not in html


def test_a_running_training_shows_its_figures_its_plot_and_its_answers() -> None:
    run = RunProgress(
        "r1",
        "running",
        step=60,
        total_steps=240,
        loss=0.687,
        eval_loss=0.8,
        tokens_per_s=1240.0,
        eta_s=190.0,
        losses=[(1, 2.0), (60, 0.687)],
        eval_losses=[(60, 0.8)],
        samples=(SampleAnswer(60, EVIL, EVIL, EVIL),),
    )
    html = render_finetune(make_view(progress=LoopProgress("train", "m", 0.3, run)))
    assert "60 / 240" in html
    assert "0.687" in html
    assert "약 3분" in html
    assert 'id="loss-plot"' in html
    assert "<img" not in html


def test_a_promoted_version_is_told_as_such() -> None:
    done = LoopProgress("done", "m", 1.0)
    html = render_finetune(make_view(progress=done, adapter=ADAPTER, answering="v0002"))
    assert "v0002 버전이 이제 답해요" in html
    assert html.count("eco-stage-done") == len(STAGES)
    assert "Better." in html
    assert 'id="retrain-start"' in html


def test_a_refused_version_does_not_pretend_to_answer() -> None:
    done = LoopProgress("done", "m", 1.0)
    html = render_finetune(make_view(progress=done, adapter=ADAPTER, answering="v0001"))
    assert "v0002 버전은 아직 쓰이지 않아요" in html


def test_a_failure_says_where_and_why_and_offers_a_new_start() -> None:
    failed = LoopProgress("failed", EVIL, 1.0, code="never_heard_of")
    html = render_finetune(make_view(progress=failed, reached="train", log=(EVIL,)))
    assert "eco-stage-bad" in html
    assert "&lt;img" in html
    assert "<img" not in html
    assert 'id="retrain-start"' in html


def test_a_cancelled_retrain_says_that_nothing_changed() -> None:
    html = render_finetune(make_view(progress=LoopProgress("cancelled", "m", 1.0)))
    assert "바뀐 것은 없어요" in html


def test_only_an_unfinished_retrain_runs() -> None:
    assert not is_running(None)
    assert is_running(LoopProgress("gate", "m", 0.9))
    assert not is_running(LoopProgress("failed", "m", 1.0))


def test_preferences_are_offered_where_they_suffice_and_explained_where_not() -> None:
    offers = (Offer("dpo", True, "", 240, 200), Offer("kto", False, "", 81, 300, 12, 50))
    html = render_finetune(make_view(offers=offers))
    assert 'id="kind-sft" checked>' in html
    assert 'id="kind-dpo">' in html
    assert "쌍이 240개 있어요" in html
    assert 'id="kind-kto" disabled>' in html
    assert "81 / 300개, 그중 적은 쪽은 12 / 50개" in html


def test_a_retrain_that_broke_off_can_go_on_without_any_new_example() -> None:
    few = (Blocker("too_few_examples", "x", 12, 20),)
    html = render_finetune(make_view(resumable=make_broken_off("quick"), blockers=few))
    assert "‘빠르게’ 학습이 끝나기 전에 멈췄어요" in html
    assert 'data-action="resume">' in html
    busy = render_finetune(
        make_view(resumable=make_broken_off("quick"), blockers=(Blocker("engine_not_ready", ""),))
    )
    assert 'data-action="resume" disabled>' in busy


def test_what_was_checked_before_step_1_is_shown_with_the_reasons() -> None:
    run = RunProgress("r1", "running", events=EVENTS, memory_mb=2048.0)
    html = render_finetune(make_view(progress=LoopProgress("train", "m", 0.3, run)))
    for text in ("62%", "208,896 (3.2%)", "&lt;|end|&gt; · &lt;|pad|&gt;", "1.9 / 20.5 GiB"):
        assert text in html
    assert "96행을 8개씩 5번 보면 60단계예요." in html
    assert "98행 중 너무 긴 2행은 빼고 배워요." in html
    assert "2.0 GiB" in html
