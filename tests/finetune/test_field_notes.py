"""What four teams lived through with their data: each failure reproduced, and caught."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.recommendation import canonical, parse, to_dict, to_text
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune.chat_template import ChatTokenizer, TokenizerError
from finetune.checks import DEFAULT_CHECKS, CheckSettings, check_example
from finetune.curate import accept_examples
from finetune.dataset import freeze_dataset
from finetune.fixes import suggest_fix
from finetune.formats import ImportResult, ImportSettings, import_path
from finetune.import_rows import RowSettings
from finetune.repair import repair
from finetune.set_checks import check_set, write_row_flags
from finetune.token_view import show_tokens
from tests.finetune.examples import ANSWER, make_example, make_messages, numbered_answer
from tests.finetune.test_token_view import make_model_dir

PERSONA = CheckSettings(answer_format="text")


def bring_in(
    store: Store, folder: Path, answers: list[str], checks: CheckSettings = DEFAULT_CHECKS
) -> ImportResult:
    path = folder / "team.jsonl"
    rows = [{"instruction": f"{n}번 질문입니다", "output": text} for n, text in enumerate(answers)]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return import_path(store, path, ImportSettings(RowSettings(checks), num_workers=0))


def numbered_titles(number: int) -> str:
    value = to_dict(numbered_answer(number))
    for at, item in enumerate(value["challenges"], 1):
        item["title"] = f"{at}. {item['title']}"
    return json.dumps(value)


def test_v2_mixed_formats_are_seen_and_brought_into_one(store: Store, tmp_path: Path) -> None:
    """Loss stuck at 4.6: plain text, JSON as a string, {"text": …}, numbering, newlines."""
    shapes = [
        lambda n: canonical(numbered_answer(n)),
        lambda n: to_text(numbered_answer(n)),
        lambda n: json.dumps(canonical(numbered_answer(n))),
        lambda n: json.dumps({"text": canonical(numbered_answer(n))}),
        numbered_titles,
        lambda n: canonical(numbered_answer(n)).replace('."}', '.\\n"}'),
    ]
    bring_in(store, tmp_path, [shapes[n % 6](n) for n in range(60)])
    [flag] = [flag for flag in check_set(store).flags if flag.name == "mixed_formats"]
    assert "text" in flag.evidence
    assert "json_in_string" in flag.evidence
    ids = [example.example_id for example in store.iter_examples()]
    assert accept_examples(store, ids, curator="kim").num_changed == 60
    dataset = freeze_dataset(store, store.data_dir)
    for split in ("train", "validation"):
        for line in (Path(dataset.path) / f"{split}.jsonl").read_text("utf-8").splitlines():
            text = json.loads(line)["completion"][0]["content"]
            assert canonical(parse(text)) == text
            assert "\\n" not in text


def test_v2_challenges_packed_into_recommend_never_reach_training(store: Store) -> None:
    """The output that 88% of a schema check lets through."""
    packed = replace(ANSWER, recommend=f"{ANSWER.recommend} {canonical(ANSWER)}")
    store.add_examples([make_example(completion=canonical(packed))])
    decision = accept_examples(store, [1], curator="kim")
    assert decision.num_changed == 0
    whole = json.dumps({"recommend": canonical(ANSWER), "challenges": []})
    assert repair(whole).recommendation == ANSWER


def test_v3_a_line_break_that_people_would_read_as_a_backslash_is_flagged() -> None:
    text = canonical(ANSWER).replace("커피를 담", "커피를\\\\n담")
    example = make_example(completion=text)
    assert "escaped_text" in [flag.name for flag in check_example(example)]
    fix = suggest_fix(example)
    assert fix is not None
    assert fix.completion == canonical(ANSWER)


@pytest.mark.parametrize(
    ("words", "flag"),
    [("힐링할수있는시는건강!", "missing_spaces"), ("공HED 하루예요.", "foreign_words")],
)
def test_v3_korean_without_spaces_and_stray_tokens_are_flagged(words: str, flag: str) -> None:
    example = make_example(completion=canonical(replace(ANSWER, recommend=words)))
    assert flag in [found.name for found in check_example(example)]


def test_v3_a_base_without_chat_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError) as error:
        ChatTokenizer(make_model_dir(tmp_path, template=None))
    assert error.value.code == "no_template"


def test_v3_an_eos_that_became_a_space_is_noticed(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer(make_model_dir(tmp_path, eos=" "))
    view = show_tokens(tokenizer, make_messages(), canonical(ANSWER), max_length=4_096)
    assert not view.has_end


@pytest.mark.parametrize("answer", ["5. 혜나! 뭐 해?", "1주말인데 뭐 하지", "2. 빙수, 마라탕 먹자"])
def test_persona_answers_that_start_with_a_useless_number_are_flagged(answer: str) -> None:
    flags = check_example(make_example(completion=answer, category=""), PERSONA)
    assert [flag.name for flag in flags] == ["leading_number"]


@pytest.mark.parametrize("answer", ["3층까지 걸어서 가자", "1주일 동안 해 보자", "10분만 걷자"])
def test_numbers_that_count_something_stay(answer: str) -> None:
    assert check_example(make_example(completion=answer, category=""), PERSONA) == ()


def test_persona_that_parrots_the_answer_to_another_question_is_flagged(
    store: Store, tmp_path: Path
) -> None:
    robots = "십 년 뒤에는 로봇이 모든 집안일을 대신하게 될 거야."
    bring_in(store, tmp_path, [robots, "나는 네가 늘 궁금하고 반가워.", robots], PERSONA)
    write_row_flags(store, check_set(store, PERSONA))
    flagged = store.find_examples(ExampleFilter(flag="answer_of_another_prompt")).items
    assert [example.example_id for example in flagged] == [3]


def test_student_the_loss_covers_neither_prompt_nor_padding(tmp_path: Path) -> None:
    """Labels were a copy of input_ids, padded with eos to max_length."""
    tokenizer = ChatTokenizer(make_model_dir(tmp_path))
    view = show_tokens(tokenizer, make_messages(), "걷기", max_length=4_096)
    learned = [token.text for token in view.tokens if token.is_in_loss]
    assert "".join(learned) == "걷기</s>"
    assert view.num_prompt > 10 * view.num_loss


def test_student_answers_that_run_on_into_a_template_are_refused(store: Store) -> None:
    store.add_examples([make_example(completion="광합성입니다.\n### Answer: 광합성")])
    decision = accept_examples(store, [1], curator="kim", settings=PERSONA)
    assert decision.num_changed == 0


def test_student_rows_do_not_wander_between_the_splits(store: Store, tmp_path: Path) -> None:
    """A random 70/20/10 split moved rows with every new sample."""
    bring_in(store, tmp_path, [canonical(numbered_answer(n)) for n in range(60)])
    first = [e.example_id for e in store.iter_examples()][:40]
    accept_examples(store, first, curator="kim")
    before = dict(store.list_dataset_rows(freeze_dataset(store, store.data_dir).dataset_id))
    accept_examples(store, [e.example_id for e in store.iter_examples()], curator="kim")
    after = dict(store.list_dataset_rows(freeze_dataset(store, store.data_dir).dataset_id))
    assert len(after) == 60
    assert {row: after[row] for row in before} == before


def test_student_rows_longer_than_max_length_are_flagged_at_import(
    store: Store, tmp_path: Path
) -> None:
    """They were cut on the right in silence, the end of the answer with them."""
    checks = replace(PERSONA, max_length=200, model_dir=make_model_dir(tmp_path))
    bring_in(store, tmp_path, ["짧은 답이에요.", "아주 긴 답이에요. " * 40], checks)
    flagged = store.find_examples(ExampleFilter(flag="too_many_tokens")).items
    assert [example.example_id for example in flagged] == [2]
    assert accept_examples(store, [2], curator="kim", settings=checks).num_changed == 0


def test_student_too_few_rows_are_told_at_import(store: Store, tmp_path: Path) -> None:
    result = bring_in(store, tmp_path, [canonical(numbered_answer(n)) for n in range(12)])
    [flag] = [flag for flag in result.set_flags if flag.name == "too_few_examples"]
    assert "38 more" in flag.fix
