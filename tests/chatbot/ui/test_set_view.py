from chatbot.ui.set_view import render_set
from finetune.flags import Flag
from finetune.set_checks import SetReport
from tests.chatbot.ui.records import EVIL

REPORT = SetReport(
    num_examples=40,
    flags=(
        Flag("one_template", "warning", "x", "y", {"num": 20, "total": 40, "text": EVIL}),
        Flag("asks_held_out", "info", EVIL, EVIL),
    ),
    row_flags={3: Flag("near_duplicate", "warning", "x", "y")},
    num_by_cell={("city", "office", "VEGAN"): 8, ("beach", "field", "MEDIA"): 2, ("", "", ""): 5},
    formats={"json": 30, "text": 10},
)


def test_folded_it_says_what_it_would_look_at() -> None:
    html = render_set(None, "ko", is_open=False, is_busy=False)
    assert 'aria-expanded="false"' in html
    assert "형식, 균형" in html


def test_while_it_works_it_says_so() -> None:
    assert 'role="status"' in render_set(None, "ko", is_open=True, is_busy=True)


def test_the_report_tells_doubts_formats_and_balance() -> None:
    html = render_set(REPORT, "ko", is_open=True, is_busy=False)
    assert "확인할 점 1가지" in html
    assert "40개 가운데 20개가" in html
    assert "JSON 75%, 글 25%" in html
    assert '<td data-shade="4">8</td>' in html
    assert '<td data-shade="1">2</td>' in html
    assert '<td data-shade="0">–</td>' in html
    assert "<img" not in html


def test_a_set_without_doubts_is_fine() -> None:
    html = render_set(SetReport(60, ()), "ko", is_open=True, is_busy=False)
    assert "걱정할 점이 없어요" in html
    assert "eco-balance" not in html
