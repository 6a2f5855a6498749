from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.recommendation import Challenge, Recommendation, canonical, to_text
from feedback_store.records import Example
from finetune.chat_template import ChatTokenizer
from finetune.checks import CheckSettings, check_example, describe_format, retell_flags
from tests.finetune.examples import ANSWER, make_example, make_messages
from tests.finetune.test_token_view import make_model_dir

TEXT_TASK = CheckSettings(answer_format="text")


def change(index: int, **fields: str) -> Recommendation:
    """The answer with one challenge changed."""
    challenges = list(ANSWER.challenges)
    challenges[index] = replace(challenges[index], **fields)
    return replace(ANSWER, challenges=tuple(challenges))


def flags_of(answer: Recommendation | str, **changes: object) -> list[tuple[str, str]]:
    text = answer if isinstance(answer, str) else canonical(answer)
    found = check_example(make_example(completion=text, **changes))
    assert all(flag.evidence and flag.fix for flag in found)
    return [(flag.name, flag.severity) for flag in found]


def test_a_clean_example_has_no_flags() -> None:
    assert flags_of(ANSWER) == []


@pytest.mark.parametrize(
    ("answer", "flag"),
    [
        (to_text(ANSWER), ("needs_repair", "error")),
        (canonical(ANSWER) + " ", ("needs_repair", "error")),
        ("텀블러를 쓰세요", ("not_an_answer", "error")),
        (canonical(ANSWER)[:-40], ("truncated", "error")),
        (replace(ANSWER, recommend="5. 혜나! 같이 걸어요."), ("leading_number", "warning")),
        (replace(ANSWER, recommend="1주말인데 함께 걸어요."), ("leading_number", "warning")),
        (change(1, title="텀블러 들기"), ("duplicate_titles", "warning")),
        (change(0, description="텀블러를\\n 써요."), ("escaped_text", "warning")),
        (change(0, description="텀블러를\n써요."), ("line_break", "warning")),
        (change(0, description="공HED 텀블러를 써요."), ("foreign_words", "warning")),
        (change(0, description="힐링할수있는시는건강해요!"), ("missing_spaces", "warning")),
        (change(0, description="텀블ㄹ러를 써요."), ("broken_hangul", "warning")),
        (change(0, title="가 나다 " * 14), ("odd_length", "warning")),
        (change(0, description="물을 아껴요 " * 8), ("loop", "warning")),
        (change(0, description="010-1234-5678로 연락해요."), ("personal_data", "error")),
        (change(0, description="이 병신아 텀블러를 써요."), ("abusive_text", "error")),
        (change(0, description="텀블\u200b러를 써요."), ("invisible_characters", "error")),
        (change(0, description="텀블러를 써요.</s>"), ("template_text", "error")),
        (change(0, description="eco-shop.com에서 사요."), ("link", "warning")),
    ],
)
def test_each_fault_of_an_answer_is_named(
    answer: Recommendation | str, flag: tuple[str, str]
) -> None:
    assert flag in flags_of(answer)


def test_challenges_packed_into_recommend_are_an_error() -> None:
    stuffed = replace(ANSWER, recommend='가요 "challenges":[{"title":"텀블러 들기"}]')
    assert ("field_stuffing", "error") in flags_of(stuffed)
    listed = replace(ANSWER, recommend="1. 텀블러 들기 2. 리필숍 가기 3. 걷기")
    assert ("field_stuffing", "warning") in flags_of(listed)


def test_an_answer_off_the_asked_category_is_flagged() -> None:
    vegan = Recommendation(
        "식물로 차린 식탁을 즐겨 봐요.",
        (
            Challenge("두부 스테이크", "고기 없이 두부를 구워 저녁을 차려요."),
            Challenge("콩국수 한 그릇", "우유 대신 두유로 국물을 만들어요."),
            Challenge("채소 도시락", "계절 채소만으로 점심을 싸요."),
        ),
    )
    assert flags_of(vegan, category="VEGAN") == []
    assert ("off_category", "warning") in flags_of(vegan, category="DIGITAL_CARBON")
    assert flags_of(vegan, category="") == []


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("제 주민번호는 900101-1234567이에요", "personal_data"),
        ("씨발 추천해", "abusive_text"),
        ("추천해\u200b 줘", "invisible_characters"),
    ],
)
def test_the_prompt_is_looked_at_too(text: str, flag: str) -> None:
    messages = (*make_messages()[:1], {"role": "user", "content": text})
    assert [name for name, _ in flags_of(ANSWER, messages=messages)] == [flag]


def test_errors_come_first() -> None:
    answer = change(0, title="5. 들기", description="010-1234-5678로 연락해요.")
    assert [severity for _, severity in flags_of(answer)] == ["error", "warning"]


def test_a_row_longer_than_max_length_is_flagged_with_the_real_tokenizer(tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path)
    [flag] = check_example(make_example(), CheckSettings(max_length=10, model_dir=folder))
    whole = [*make_example().messages, {"role": "assistant", "content": make_example().completion}]
    num_tokens = ChatTokenizer(folder).count_tokens(whole)
    assert (flag.name, flag.severity) == ("too_many_tokens", "error")
    assert flag.params == {"num": num_tokens, "limit": 10}
    exact = CheckSettings(max_length=num_tokens, model_dir=folder)
    assert check_example(make_example(), exact) == ()
    one_less = CheckSettings(max_length=num_tokens - 1, model_dir=folder)
    assert [flag.name for flag in check_example(make_example(), one_less)] == ["too_many_tokens"]


def test_without_a_usable_tokenizer_the_length_in_tokens_is_not_checked(tmp_path: Path) -> None:
    settings = CheckSettings(max_length=1, model_dir=tmp_path)
    assert check_example(make_example(), settings) == ()


def test_messages_that_the_template_refuses_are_flagged(tmp_path: Path) -> None:
    folder = make_model_dir(tmp_path, template="{{ raise_exception('Roles must alternate.') }}")
    [flag] = check_example(make_example(), CheckSettings(max_length=1, model_dir=folder))
    assert (flag.name, "Roles must alternate." in flag.evidence) == ("template_refused", True)


def test_a_text_task_is_checked_for_what_concerns_any_text() -> None:
    def names(completion: str) -> list[str]:
        found = check_example(make_example(completion=completion, category=""), TEXT_TASK)
        return [flag.name for flag in found]

    assert names("아니, 나는 네가 좋아.") == []
    assert names("Python으로 GPU를 써.") == []
    assert names("공HED 아니야.") == ["foreign_words"]
    assert names("2. 빙수, 마라탕 먹자") == ["leading_number"]
    assert names("### Answer: 걷기") == ["template_text"]
    assert names("여러 줄\n답도 좋아.") == []
    assert names("  ") == ["odd_length"]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (canonical(ANSWER), "json"),
        ('"{\\"recommend\\"}"', "json_in_string"),
        ('{"text": "x"}', "other_json"),
        ('{"recommend": "x', "broken_json"),
        ("1. 가: 나", "text"),
    ],
)
def test_formats_are_told_apart(text: str, shape: str) -> None:
    assert describe_format(text) == shape


def forget_figures(answer: str, asked: str) -> Example:
    """As it was stored before flags had params."""
    new = make_example(completion=answer, messages=({"role": "user", "content": asked},))
    flags = [flag.to_dict() for flag in check_example(new)]
    kept = [{key: value for key, value in flag.items() if key != "params"} for flag in flags]
    return Example(
        **{**vars(new), "flags": tuple(kept)},
        example_id=1,
        state="pending",
        decided_by=None,
        decided_at=None,
        created_at="2026-11-21T05:15:00.000Z",
    )


def test_old_flags_of_one_name_each_get_their_own_figures() -> None:
    call = "010-1234-5678"
    answer = canonical(change(0, description=f"텀블러로\u200b 컵을 줄이고 {call}로 알려요."))
    old = forget_figures(answer, f"제로\u200b웨이스트 {call}")
    told = retell_flags(old)
    assert [flag["evidence"] for flag in told] == [flag["evidence"] for flag in old.flags]
    for name in ("invisible_characters", "personal_data"):
        places = [flag["params"]["where"] for flag in told if flag["name"] == name]
        assert places == ["answer", "prompt"]


def test_an_old_flag_that_nothing_now_equals_is_told_as_it_was_kept() -> None:
    call = "010-1234-5678"
    old = forget_figures(canonical(change(0, description=f"{call}로 알려요.")), f"제 번호 {call}")
    worded = [{**flag, "evidence": f"once: {flag['evidence']}"} for flag in old.flags]
    assert retell_flags(replace(old, flags=tuple(worded))) == tuple(worded)
    alone = retell_flags(replace(old, flags=({**worded[0], "name": "needs_repair"}, *worded[2:])))
    assert alone[0]["evidence"].startswith("once")
