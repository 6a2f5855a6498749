"""What four teams ran into, caught before step 1."""

from dataclasses import replace

import pytest

from chatbot.recommendation import Challenge, Recommendation, canonical
from finetune.preflight import (
    IGNORED,
    Course,
    EncodedRow,
    Finding,
    ModelFacts,
    PaddedBatch,
    PreflightRefused,
    TokenizerFacts,
    check_all,
    check_answers,
    check_batch,
    check_course,
    check_model,
    check_rows,
    check_tokenizer,
    describe_rows,
)

PAD, EOS, NEWLINE = 0, 2, 9
ANSWER = canonical(Recommendation("걸어요.", (Challenge("산책", "십 분 걷기."),) * 3))
FACTS = TokenizerFacts(
    vocab_size=100,
    pad_id=PAD,
    pad_token="<pad>",
    eos_id=EOS,
    eos_token="</s>",
    stop_ids=frozenset({EOS}),
    has_template=True,
    is_template_served=True,
)
GOOD = EncodedRow([5, 6, 7, 8, EOS], [IGNORED, IGNORED, 7, 8, EOS], [5, 6])


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_a_sound_set_up_has_no_finding() -> None:
    batch = PaddedBatch([[5, 6, EOS, PAD]], [[IGNORED, 6, EOS, IGNORED]], [[1, 1, 1, 0]])
    model = ModelFacts(embedding_rows=100, num_parameters=1000, num_trainable=10)
    report = check_all(
        check_answers([ANSWER]),
        check_tokenizer(FACTS),
        check_rows([GOOD], FACTS),
        check_batch(batch, FACTS),
        check_model(model, FACTS),
        check_course(Course(75, 3.0, 200)),
        figures={},
    )
    assert report.findings == ()


@pytest.mark.parametrize(
    "answer",
    [
        "1. 텀블러\n2. 산책\n3. 계단",
        '{"text": "텀블러를 쓰세요"}',
        ANSWER.replace('"', '\\"'),
        "```json\n" + ANSWER + "\n```",
        ANSWER + "\n",
        ANSWER.replace(",", ", "),
    ],
)
def test_mixed_formats_are_refused_before_the_night_begins(answer: str) -> None:
    [finding] = check_answers([ANSWER, answer])
    assert (finding.code, finding.severity) == ("mixed_formats", "refuse")
    assert "rows 2" in finding.message
    assert "Curate" in finding.cure


def test_where_plain_text_is_answered_json_among_it_is_refused_and_text_is_not() -> None:
    plain = ["5분만 걸어요!", "12", "[웃음] 좋아요"]
    assert check_answers(plain, "text") == []
    assert check_answers([ANSWER, ANSWER], "text") == []
    [finding] = check_answers([*plain, ANSWER, f"```json\n{ANSWER}\n```"], "text")
    assert (finding.code, finding.severity) == ("json_in_text", "refuse")
    assert finding.message.startswith("2 of 5 answers are JSON among plain text (rows 4, 5)")


def test_labels_that_copy_the_input_are_refused() -> None:
    row = EncodedRow(GOOD.input_ids, GOOD.input_ids, GOOD.prompt_ids)
    assert codes(check_rows([row], FACTS)) == ["prompt_in_loss"]


def test_padding_in_the_loss_is_refused() -> None:
    batch = PaddedBatch([[5, 6, EOS, PAD]], [[IGNORED, 6, EOS, PAD]], [[1, 1, 1, 0]])
    assert codes(check_batch(batch, FACTS)) == ["padding_in_loss"]


def test_padding_that_the_mask_does_not_know_is_refused_too() -> None:
    batch = PaddedBatch([[5, 6, EOS, PAD, PAD]], [[IGNORED, 6, EOS, PAD, PAD]], [[1, 1, 1, 1, 1]])
    assert codes(check_batch(batch, FACTS)) == ["padding_in_loss"]


def test_an_answer_without_end_of_turn_is_refused() -> None:
    row = EncodedRow([5, 6, 7, 8], [IGNORED, IGNORED, 7, 8], [5, 6])
    assert codes(check_rows([row], FACTS)) == ["no_end"]


def test_an_end_token_that_was_masked_with_the_padding_is_refused() -> None:
    row = EncodedRow([5, 6, 7, 8, EOS], [IGNORED, IGNORED, 7, 8, IGNORED], [5, 6])
    assert codes(check_rows([row], FACTS)) == ["no_end"]


def test_a_line_break_after_the_end_of_turn_is_fine() -> None:
    row = EncodedRow([5, 7, EOS, NEWLINE], [IGNORED, 7, EOS, NEWLINE], [5])
    assert check_rows([row], FACTS) == []


@pytest.mark.parametrize("eos", [" ", "\u0120", "\u2581", "\n", ""])
def test_an_end_token_that_is_a_space_is_refused(eos: str) -> None:
    assert codes(check_tokenizer(replace(FACTS, eos_token=eos))) == ["broken_eos"]


def test_a_missing_template_is_refused_and_one_of_ones_own_too() -> None:
    assert codes(check_tokenizer(replace(FACTS, has_template=False))) == ["no_chat_template"]
    assert codes(check_tokenizer(replace(FACTS, is_template_served=False))) == ["other_template"]


def test_a_prompt_that_serving_encodes_differently_is_refused() -> None:
    row = replace(GOOD, prompt_ids=[5, 5])
    assert codes(check_rows([row], FACTS)) == ["other_prompt"]


def test_padding_with_the_end_token_is_a_warning_only() -> None:
    [finding] = check_tokenizer(replace(FACTS, pad_id=EOS, pad_token="</s>"))
    assert (finding.code, finding.severity) == ("pad_is_eos", "warn")


def test_nothing_trainable_and_a_foreign_vocabulary_are_refused() -> None:
    model = ModelFacts(embedding_rows=90, num_parameters=1000, num_trainable=0)
    assert codes(check_model(model, FACTS)) == ["nothing_trainable", "vocabulary_too_large"]


def test_rows_without_any_learnt_token_are_refused() -> None:
    row = EncodedRow([5, 6], [IGNORED, IGNORED], [5, 6])
    assert codes(check_rows([row], FACTS)) == ["nothing_to_learn"]


def test_too_many_long_rows_are_refused_and_a_few_are_told() -> None:
    many = Course(75, 3.0, num_rows=70, num_left_out=30, longest_row=900, max_length=512)
    [finding] = check_course(many)
    assert (finding.code, finding.severity) == ("rows_too_long", "refuse")
    assert "30 of 100 rows" in finding.message
    assert codes(check_course(replace(many, num_rows=99, num_left_out=1))) == ["some_too_long"]


def test_too_few_steps_and_too_many_passes_are_told() -> None:
    assert codes(check_course(Course(27, 3.0, 140))) == ["few_steps"]
    assert codes(check_course(Course(1000, 50.0, 140))) == ["many_epochs"]


def test_a_refusal_is_one_sentence_with_its_cure_and_keeps_the_figures() -> None:
    with pytest.raises(PreflightRefused) as caught:
        check_all(check_answers(["no"]), figures={"rows": 1})
    assert caught.value.code == "mixed_formats"
    assert caught.value.report.figures == {"rows": 1}
    assert caught.value.values == {"count": "1", "of": "1", "rows": "1"}
    assert str(caught.value).endswith("freeze the dataset again.")


def test_the_share_of_learnt_tokens_is_told() -> None:
    assert describe_rows([GOOD, GOOD]) == {
        "rows_read": 2,
        "supervised_share": 0.6,
        "longest_row": 5,
        "mean_row": 5.0,
    }
