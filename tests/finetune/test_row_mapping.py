import json
from contextlib import suppress
from time import perf_counter

import pytest

from chatbot.prompts import base_info_message
from finetune.row_mapping import ColumnMapping, RowError, map_row
from tests.finetune.examples import INFO

ASKED = ({"role": "user", "content": "뭐 하지?"},)
SYSTEM = {"role": "system", "content": "짧게"}


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("openai", {"messages": [*ASKED, {"role": "assistant", "content": "걷기"}]}),
        (
            "openai",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "뭐 하지?"}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "걷기"}]},
                ]
            },
        ),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "human", "value": "뭐 하지?"},
                    {"from": "gpt", "value": "걷기"},
                ]
            },
        ),
        ("alpaca", {"instruction": "뭐 하지?", "input": "", "output": "걷기"}),
        ("prompt_completion", {"prompt": "뭐 하지?", "completion": "걷기"}),
        (
            "prompt_completion",
            {"prompt": list(ASKED), "completion": [{"role": "assistant", "content": "걷기"}]},
        ),
        ("prompt_completion", {"Question": "뭐 하지?", "Answer": "걷기"}),
        ("prompt_completion", {"질문": "뭐 하지?", "답변": "걷기"}),
        ("rendered", {"text": "<s>[INST] 뭐 하지? [/INST] 걷기</s>"}),
        ("rendered", {"text": "### Instruction:\n뭐 하지?\n\n### Response:\n걷기"}),
    ],
)
def test_every_format_gives_prompt_and_answer(kind: str, row: dict[str, object]) -> None:
    parts = map_row(row)
    assert (parts.kind, parts.messages, parts.answer) == (kind, ASKED, "걷기")


def test_instruction_and_input_are_one_prompt_and_history_comes_before() -> None:
    row = {
        "instruction": "추천해 줘",
        "input": "바닷가",
        "output": "줍깅",
        "system": "짧게",
        "history": [["안녕", "네"], ["또", "네네"]],
    }
    contents = [message["content"] for message in map_row(row).messages]
    assert contents == ["짧게", "안녕", "네", "또", "네네", "추천해 줘\n\n바닷가"]


def test_the_pair_of_a_preference_row_is_kept() -> None:
    row = {"prompt": "뭐 하지?", "chosen": "걷기", "rejected": "눕기"}
    parts = map_row(row)
    assert (parts.answer, parts.rejected) == ("걷기", "눕기")


def test_an_answer_given_as_json_is_kept_as_json_text() -> None:
    answer = {"recommend": "가요", "challenges": []}
    assert json.loads(map_row({"instruction": "a", "output": answer}).answer) == answer


def test_the_three_choices_make_the_prompt() -> None:
    row = {"location": "도시", "workType": "office", "category": "ZERO_WASTE", "output": "걷기"}
    parts = map_row(row)
    assert parts.messages == (dict(base_info_message(INFO, "ko")),)
    assert parts.options == {
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
    }


def test_fields_of_the_answer_may_be_columns() -> None:
    row = {"prompt": "뭐 하지?", "recommend": "가요", "challenges": "[]"}
    parts = map_row(row)
    assert parts.kind == "recommendation"
    assert json.loads(parts.answer) == {"recommend": "가요", "challenges": "[]"}


def test_columns_of_any_name_can_be_mapped() -> None:
    columns = ColumnMapping(("title", "body"), "reply", system="rule", category="theme")
    row = {"title": "제목", "body": "본문", "reply": "걷기", "rule": "짧게", "theme": "비건"}
    parts = map_row(row, columns)
    assert parts.messages == (SYSTEM, {"role": "user", "content": "제목\n\n본문"})
    assert (parts.answer, parts.options) == ("걷기", {"category": "VEGAN"})
    with pytest.raises(RowError) as error:
        map_row({"title": "제목"}, columns)
    assert error.value.code == "missing_column"


def test_the_choices_are_read_from_the_prompt() -> None:
    asked = base_info_message(INFO, "en")["content"]
    assert map_row({"prompt": asked, "completion": "x"}).options == {
        "location": "city",
        "work_type": "office",
        "category": "ZERO_WASTE",
    }
    talk = {"prompt": "농촌에서 플로깅을 하고 싶어요", "completion": "x"}
    assert map_row(talk).options == {"location": "rural", "category": "PLOGGING"}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("text", "not_an_object"),
        (None, "not_an_object"),
        ({"a": 1, "b": 2}, "unknown_columns"),
        ({}, "unknown_columns"),
        ({"prompt": "a", "completion": "  "}, "empty_answer"),
        ({"prompt": "", "completion": "x"}, "empty_prompt"),
        ({"messages": list(ASKED)}, "no_answer"),
        ({"messages": []}, "no_answer"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "unknown_role"),
        ({"messages": ["x"]}, "unknown_role"),
        ({"text": "그냥 긴 글"}, "unknown_columns"),
        ({"text": "[INST] a [/INST] b [INST] c [/INST] d"}, "unknown_columns"),
    ],
)
def test_a_row_that_is_none_says_why(row: object, code: str) -> None:
    with pytest.raises(RowError) as error:
        map_row(row)
    assert error.value.code == code


def shortest_time(text: str) -> float:
    times = []
    for _ in range(5):
        started_at = perf_counter()
        with suppress(RowError):
            map_row({"text": text})
        times.append(perf_counter() - started_at)
    return min(times)


@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        "[INST]{}",
        "[INST] a{}[/INST]{}",
        "##{}",
        "## Instruction{}",
        "##Instruction a{}##b",
        "#{}",
    ],
)
@pytest.mark.parametrize("fill", [" ", "#", "\n", "## "])
def test_long_runs_of_blanks_cost_as_much_as_they_are_long(shape: str, fill: str) -> None:
    short, long = (shape.replace("{}", fill * size) for size in (8_192, 65_536))
    assert shortest_time(long) < 30 * shortest_time(short) + 0.002  # 8 when linear, 64 if squared
