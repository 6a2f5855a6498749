from typing import Any

import pytest

from chatbot.ui.finetune_view import (
    STAGES,
    FinetuneView,
    format_duration,
    is_running,
    render_finetune,
)
from chatbot.ui.parts import Blocker
from feedback_store.records import Adapter
from finetune.progress import LoopProgress
from finetune.run_progress import RunProgress, SampleAnswer
from tests.chatbot.ui.records import EVIL

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
    html = render_finetune(make_view(progress=done, adapter=ADAPTER, production="v0002"))
    assert "v0002 버전이 이제 답해요" in html
    assert html.count("eco-stage-done") == len(STAGES)
    assert "Better." in html
    assert 'id="retrain-start"' in html


def test_a_refused_version_does_not_pretend_to_answer() -> None:
    done = LoopProgress("done", "m", 1.0)
    html = render_finetune(make_view(progress=done, adapter=ADAPTER, production="v0001"))
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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (8.4, "8 s"), (95, "about 2 min"), (3599, "about 60 min"), (7260, "2 h 1 min")],
)
def test_times_are_rounded_to_what_one_can_know(seconds: float, text: str) -> None:
    assert format_duration(seconds, "en") == text
