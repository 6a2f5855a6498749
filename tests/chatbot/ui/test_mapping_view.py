from chatbot.ui.mapping_view import read_mapping, render_mapping
from finetune.column_preview import ColumnPreview
from finetune.row_mapping import ColumnMapping
from tests.chatbot.ui.records import EVIL

PREVIEW = ColumnPreview(
    columns=("물음", "모범 답", EVIL),
    rows=({"물음": "뭘 할까요?", "모범 답": EVIL, EVIL: "1"},),
    guess=ColumnMapping(prompt=("물음",), completion="모범 답"),
)


def test_the_form_shows_the_rows_and_its_guess() -> None:
    html = render_mapping("team.csv", PREVIEW, "ko")
    assert '<option value="모범 답" selected>' in html
    assert "뭘 할까요?" in html
    assert "<img" not in html


def test_what_was_chosen_becomes_a_mapping() -> None:
    form = {"completion": "모범 답", "prompt": "물음", "prompt_more": EVIL, "location": "물음"}
    assert read_mapping(form, PREVIEW) == ColumnMapping(
        prompt=("물음", EVIL), completion="모범 답", location="물음"
    )


def test_columns_that_the_file_does_not_have_count_as_none() -> None:
    form = {"completion": "모범 답", "prompt": "../../etc", "prompt_more": "물음"}
    assert read_mapping(form, PREVIEW) == ColumnMapping(prompt=("물음",), completion="모범 답")
