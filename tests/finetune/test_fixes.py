import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.recommendation import canonical, parse, to_text
from finetune.checks import CheckSettings, check_example
from finetune.fixes import Fix, suggest_fix
from tests.finetune.examples import ANSWER, make_example

CLEAN = canonical(ANSWER)


@pytest.mark.parametrize(
    ("completion", "names"),
    [
        (to_text(ANSWER), ("numbered_lines",)),
        (CLEAN.replace("텀블러 들기", "5. 텀블러 들기"), ("leading_number",)),
        (CLEAN.replace("텀블러 들기", "- 텀블러 들기"), ("leading_number",)),
        (CLEAN.replace("텀블러 들기", "텀블러\\\\n들기"), ("escaped_text",)),
        (CLEAN.replace("텀블러 들기", "텀블러\\n들기"), ("line_break",)),
        (CLEAN.replace("텀블러 들기", "텀\u200b블러 들기"), ("invisible_characters",)),
        (CLEAN.replace("텀블러 들기", "텀블러 들기</s>"), ("template_text",)),
    ],
)
def test_what_needs_no_person_is_put_right(completion: str, names: tuple[str, ...]) -> None:
    example = make_example(completion=completion)
    assert suggest_fix(example) == Fix(CLEAN, names)
    assert check_example(make_example(completion=CLEAN)) == ()


def test_personal_data_is_masked() -> None:
    text = CLEAN.replace("종이 영수증을", "010-1234-5678로")
    fix = suggest_fix(make_example(completion=text))
    assert fix is not None
    assert fix.names == ("personal_data",)
    assert "○○○-○○○○-○○○○" in parse(fix.completion).challenges[2].description


@pytest.mark.parametrize(
    "completion",
    [CLEAN, "그냥 글", CLEAN[:-30], CLEAN.replace("텀블러 들기", "</s>")],
)
def test_nothing_is_suggested_where_a_person_is_needed(completion: str) -> None:
    assert suggest_fix(make_example(completion=completion)) is None


def test_text_tasks_are_fixed_without_touching_their_form() -> None:
    example = make_example(completion="1. 걷기\n2. 뛰기</s>")
    fix = suggest_fix(example, answer_format="text")
    assert fix == Fix("1. 걷기\n2. 뛰기", ("template_text",))
    clean = make_example(completion="1. 걷기")
    assert suggest_fix(clean, answer_format="text") is None


@given(st.text(max_size=200))
def test_a_suggestion_is_always_a_valid_answer(text: str) -> None:
    fix = suggest_fix(make_example(completion=text))
    if fix:
        assert canonical(parse(fix.completion)) == fix.completion
    other = suggest_fix(make_example(completion=text), answer_format="text")
    settings = CheckSettings(answer_format="text")
    if other:
        flags = check_example(make_example(completion=other.completion), settings)
        assert "template_text" not in [flag.name for flag in flags]
