import pytest

from chatbot.engines.base import EngineState, EngineStatus
from chatbot.ui.header import look_again, render_status

STATUS = EngineStatus("failed", "Traceback in /srv/eco: <CUDA out of memory>", "kanana")


def test_strangers_do_not_read_the_log_of_the_engine() -> None:
    public = render_status(STATUS, "v0002", "ko", shows_detail=False)
    assert "모델이 시작되지 않았어요" in public
    assert "CUDA" not in public
    assert "kanana" not in public
    studio = render_status(STATUS, "v0002", "ko", shows_detail=True)
    assert "kanana · Traceback in /srv/eco: &lt;CUDA" in studio


@pytest.mark.parametrize(
    ("state", "interval_s"),
    [("starting", 1.5), ("asleep", 1.5), ("degraded", 15), ("ready", None), ("failed", None)],
)
def test_the_page_asks_again_while_something_is_to_come(
    state: EngineState, interval_s: float | None
) -> None:
    timer = look_again(EngineStatus(state, "", "starter"))
    assert timer.active is (interval_s is not None)
    assert interval_s is None or timer.value == interval_s


@pytest.mark.parametrize(
    "detail",
    [
        "The engine is ready.",
        "The engine is warming up.",
        "Loading the current adapter.",
        "The model sleeps while a training uses the card. It wakes by itself.",
        "The base model answers meanwhile: v0003 was trained on kanana.",
    ],
)
def test_what_the_engine_says_by_itself_is_told_in_the_language_of_the_page(detail: str) -> None:
    title = render_status(EngineStatus("ready", detail, "starter"), None, "ko", shows_detail=True)
    assert " the " not in title.casefold()
    assert 'title="starter · ' in title
