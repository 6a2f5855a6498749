import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.malformed import SHAPES, make_malformed
from chatbot.recommendation import Challenge, Recommendation, canonical, parse, to_dict, to_text
from finetune.repair import repair

ANSWER = Recommendation(
    "도시에서는 텀블러를 쓰는 하루가 좋아요.",
    (
        Challenge("텀블러 들기", "카페에서 텀블러에 커피를 담아요."),
        Challenge("리필숍 가기", "세제를 빈 병에 채워요."),
        Challenge("영수증 거절", "전자 영수증을 받아요."),
    ),
)
TEXT = canonical(ANSWER)

clean_text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60).filter(
    lambda text: not text.startswith(tuple("0123456789①②③④⑤⑥⑦⑧⑨-*•·‣▪◦–{[")) and "\\" not in text
)
clean_answers = st.builds(
    Recommendation,
    clean_text,
    st.tuples(*[st.builds(Challenge, clean_text, clean_text)] * 3),
)


def flag_names(text: str) -> list[str]:
    return [flag.name for flag in repair(text).flags]


@given(clean_answers)
def test_a_valid_answer_is_never_changed(answer: Recommendation) -> None:
    assert parse(canonical(answer)) == answer
    result = repair(canonical(answer))
    assert (result.recommendation, result.repairs, result.flags) == (answer, (), ())


@given(st.text(max_size=300))
def test_any_text_is_answered_without_an_error(text: str) -> None:
    result = repair(text)
    assert result.recommendation is not None or result.flags


@given(st.integers(0, len(TEXT) - 1), st.text("\"'{}[],:\\\n ", max_size=3))
def test_a_damaged_answer_keeps_its_texts_or_is_flagged(at: int, damage: str) -> None:
    result = repair(TEXT[:at] + damage + TEXT[at + 1 :])
    if result.recommendation is None:
        assert result.flags
    else:
        assert len(result.recommendation.challenges) == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_every_certain_malformed_answer_is_repaired_and_none_wrongly(shape: str) -> None:
    rng = random.Random(shape)
    for _ in range(40):
        case = make_malformed(shape, rng)
        result = repair(case.text)
        if case.is_certain:
            assert result.recommendation == case.recommendation, case.text
        elif result.recommendation != case.recommendation:
            assert result.flags, case.text


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        (json.dumps(TEXT), ("json_in_string",)),
        (f"```json\n{TEXT}\n```", ("code_fence",)),
        (json.dumps({"text": TEXT}), ("json_in_string", "wrapper")),
        (to_text(ANSWER), ("numbered_lines",)),
        (json.dumps({"recommend": TEXT, "challenges": []}), ("field_stuffing",)),
        (TEXT.replace("}]", ",}]"), ("trailing_comma",)),
        (str(to_dict(ANSWER)), ("single_quotes",)),
        (TEXT.replace('"', "”"), ("smart_quotes",)),
        (TEXT.replace('들기"', '들기\\n"'), ("edge_blank",)),
        (f"추천입니다: {TEXT}", ("surrounding_text",)),
        (json.dumps(to_dict(ANSWER), ensure_ascii=False), ("spacing",)),
        (f"{ANSWER.recommend} {TEXT[TEXT.index(',') + 1 :]}".replace('"ch', '{"ch'), None),
    ],
)
def test_what_was_repaired_is_recorded(text: str, repairs: tuple[str, ...] | None) -> None:
    result = repair(text)
    assert result.recommendation == ANSWER
    assert result.flags == ()
    assert repairs is None or result.repairs == repairs


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("", "not_an_answer"),
        ("텀블러를 쓰세요.", "not_an_answer"),
        ("[1, 2]", "not_an_answer"),
        (TEXT[:-30], "truncated"),
        (TEXT + TEXT, "not_an_answer"),
        (f"```{TEXT}```\n```{TEXT}```", "ambiguous"),
        (TEXT.replace("[{", '[{"title":"하나","description":"더"},{', 1), "wrong_count"),
        (TEXT.replace('"recommend":', '"emoji":"🌱","recommend":'), "extra_key"),
        ("추천\n1. 가: 나: 다\n2. 라: 마\n3. 바: 사", "unclear_title"),
        ("추천\n1. 가: 나\n2. 다: 라", "wrong_count"),
        ("추천\n2. 가: 나\n5. 다: 라\n1. 마: 바", "unclear_numbering"),
        ("1. 가: 나\n2. 다: 라\n3. 마: 바", "missing_recommend"),
        ("하나\n둘\n1. 가: 나\n2. 다: 라\n3. 마: 바", "unclear_recommend"),
        ("x" * 30_000, "too_long"),
        ("[" * 5_000, "truncated"),
        ('{"recommend":"' + '",' * 5_000, "ambiguous"),
    ],
)
def test_what_is_not_certain_is_flagged_and_not_guessed(text: str, flag: str) -> None:
    result = repair(text)
    assert result.recommendation is None
    assert [found.name for found in result.flags] == [flag]
    assert all(found.evidence and found.fix for found in result.flags)


@pytest.mark.parametrize(
    ("old", "new", "flag"),
    [
        ("텀블러 들기", "1. 텀블러 들기", "leading_number"),
        ("도시에서는", "5. 도시에서는", "leading_number"),
        ("커피를", "커\\n피를", "line_break"),
        ("커피를", "커피\\\\n를", "escaped_text"),
    ],
)
def test_a_doubtful_field_is_left_as_it_is_and_flagged(old: str, new: str, flag: str) -> None:
    text = TEXT.replace(old, new)
    result = repair(text)
    assert result.recommendation == parse(text)
    assert [found.name for found in result.flags] == [flag]


def test_numbering_of_all_three_titles_is_removed() -> None:
    value = to_dict(ANSWER)
    for mark, item in zip("①②③", value["challenges"], strict=True):
        item["title"] = f"{mark} {item['title']}"
    result = repair(json.dumps(value))
    assert (result.recommendation, result.repairs) == (ANSWER, ("numbering",))


def test_challenges_stuffed_beside_other_challenges_are_not_chosen_between() -> None:
    other = TEXT.replace("텀블러", "머그컵")
    value = {"recommend": other, "challenges": to_dict(ANSWER)["challenges"]}
    assert flag_names(json.dumps(value)) == ["field_stuffing"]
    assert repair(json.dumps(value)).recommendation is None
