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
