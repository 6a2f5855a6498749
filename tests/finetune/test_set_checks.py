import json
from collections.abc import Iterable
from dataclasses import replace

from chatbot.recommendation import Challenge, Recommendation, canonical, to_text
from chatbot.themes import CATEGORIES
from feedback_store.records import Example, ExampleFilter, NewExample
from feedback_store.store import Store
from finetune.category_fit import catalog_texts
from finetune.checks import CheckSettings
from finetune.curate import accept_examples
from finetune.set_checks import SetReport, check_examples, check_set, write_row_flags
from tests.finetune.examples import INFO, make_example, make_messages

TEXT_TASK = CheckSettings(answer_format="text")
KOREAN = [(code, text) for code, text in catalog_texts() if not text.isascii()]


def answer(number: int) -> Recommendation:
    """Answers that share little: three challenges of the catalog each."""
    parts = [KOREAN[(number * 3 + at) % len(KOREAN)][1] for at in range(3)]
    opening = f"{KOREAN[-1 - number % 200][1][:24]} {number}"
    return Recommendation(opening, tuple(Challenge(text[:12], text) for text in parts))


def stored(number: int, **changes: object) -> Example:
    new = make_example(
        completion=canonical(answer(number)),
        original_text=canonical(answer(number)),
        conversation_id=f"group-{number}",
        messages=(*make_messages()[:1], {"role": "user", "content": f"{number}번째 질문"}),
        category=CATEGORIES[number % 8].code,
        work_type="sales",
    )
    fields = {**vars(new), **changes}
    return Example(
        **fields,
        example_id=number,
        state="pending",
        decided_by=None,
        decided_at=None,
        created_at="2026-11-21T00:00:00.000Z",
    )


def text_row(number: int, prompt: str, completion: str) -> Example:
    messages = ({"role": "user", "content": prompt},)
    return stored(number, messages=messages, completion=completion, category="")


def names(report: SetReport) -> set[str]:
    return {flag.name for flag in report.flags}


def row_names(rows: Iterable[Example], settings: CheckSettings) -> dict[int, str]:
    return {
        example_id: flag.name
        for example_id, flag in check_examples(rows, settings).row_flags.items()
    }


def test_a_varied_set_has_nothing_to_warn_of() -> None:
    report = check_examples(map(stored, range(80)))
    assert {flag.severity for flag in report.flags} == {"info"}
    assert names(report) == {"missing_combinations", "asks_held_out"}
    assert report.row_flags == {}
    assert report.num_by_category == {option.code: 10 for option in CATEGORIES}


def test_few_examples_are_told_how_many_are_missing() -> None:
    report = check_examples(map(stored, range(12)))
    [flag] = [flag for flag in report.flags if flag.name == "too_few_examples"]
    assert (flag.evidence, "38 more" in flag.fix) == ("12 examples", True)


def test_mixed_formats_are_an_error_until_every_row_is_repaired() -> None:
    rows = [stored(n) for n in range(50)]
    rows += [stored(n, original_text=to_text(answer(n))) for n in range(50, 80)]
    [repaired] = [f for f in check_examples(rows).flags if f.name == "mixed_formats"]
    assert (repaired.severity, repaired.evidence) == ("info", "json 62%, text 38%")
    rows.append(stored(80, completion="그냥 글", original_text="그냥 글"))
    [mixed] = [f for f in check_examples(rows).flags if f.name == "mixed_formats"]
    assert mixed.severity == "error"


def test_missing_and_unbalanced_categories_are_named() -> None:
    vegan = [stored(n, category="VEGAN") for n in range(70)]
    media = [stored(n, category="MEDIA") for n in range(70, 78)]
    flags = {flag.name: flag.evidence for flag in check_examples([*vegan, *media]).flags}
    assert "PLOGGING" in flags["missing_category"]
    assert flags["unbalanced_categories"] == "VEGAN 70, MEDIA 8"


def test_one_template_in_many_answers_is_seen() -> None:
    rows = [stored(n) for n in range(40)]
    for n in range(40, 80):
        text = replace(answer(n), recommend=f"언제 어디서나 할 수 있는 친환경 실천 {n}")
        rows.append(stored(n, completion=canonical(text)))
    [flag] = [f for f in check_examples(rows).flags if f.name == "one_template"]
    assert flag.evidence.startswith("40 of 80 (50%)")


def test_near_duplicates_name_their_twin() -> None:
    copied = canonical(replace(answer(3), recommend=answer(3).recommend + "!"))
    twin = stored(70, completion=copied, category=stored(3).category)
    report = check_examples([*map(stored, range(60)), twin])
    flag = report.row_flags[70]
    assert (flag.name, flag.evidence) == ("near_duplicate", "nearly the same as example 3")


def test_of_two_copies_the_one_that_still_waits_is_flagged() -> None:
    twin = stored(70, completion=canonical(answer(3)), category=stored(3).category)
    accepted = replace(twin, state="accepted")
    flags = check_examples([*map(stored, range(60)), accepted]).row_flags
    assert {example_id: flag.params for example_id, flag in flags.items()} == {3: {"other": 70}}


def test_the_answer_to_another_category_is_parroting() -> None:
    parrot = stored(70, completion=canonical(answer(3)), category="VEGAN")
    assert stored(3).category != "VEGAN"
    assert check_examples([*map(stored, range(60)), parrot]).row_flags[70].name == (
        "answer_of_another_prompt"
    )


def test_a_persona_that_parrots_or_contradicts_itself_is_seen() -> None:
    robots = "십 년 뒤에는 로봇이 모든 집안일을 대신하게 될 거야."
    rows = [
        text_row(1, "십 년 뒤 로봇은?", robots),
        text_row(2, "너 짜증나니?", robots),
        text_row(3, "점심 뭐 먹을래?", "나는 언제나 빙수를 먹는 편이야."),
        text_row(4, "점심 뭐 먹을래?", "마라탕이 제일 좋아서 매일 먹어."),
        text_row(5, "괜찮아?", "네"),
        text_row(6, "갈까?", "네"),
    ]
    assert row_names(rows, TEXT_TASK) == {
        2: "answer_of_another_prompt",
        4: "contradicting_answers",
    }


def test_the_same_answer_on_both_sides_of_the_split_is_leakage() -> None:
    rows = [stored(n) for n in range(60)]
    rows += [
        stored(n + 100, completion=canonical(answer(n)), conversation_id=f"other-{n}")
        for n in range(60)
    ]
    assert "split_leakage" in names(check_examples(rows))


def test_questions_of_the_evaluation_are_told() -> None:
    row = stored(1, location="beach", work_type="field", category="MEDIA")
    [flag] = [flag for flag in check_examples([row]).flags if flag.name == "asks_held_out"]
    assert flag.severity == "info"


def test_row_flags_are_written_to_pending_examples_and_taken_back(store: Store) -> None:
    def new(number: int, **changes: object) -> NewExample:
        fields = {"completion": canonical(answer(number)), "category": INFO.category, **changes}
        return make_example(**fields)

    copied = canonical(replace(answer(1), recommend=answer(1).recommend + "!"))
    store.add_examples([new(1), new(2), new(3, completion=copied)])
    report = check_set(store)
    assert write_row_flags(store, report) == 1
    assert write_row_flags(store, report) == 0
    flagged = store.find_examples(ExampleFilter(flag="near_duplicate")).items
    assert [(e.example_id, e.state) for e in flagged] == [(3, "pending")]
    store.decide_examples([1], state="excluded", decided_by="kim")
    assert write_row_flags(store, check_set(store)) == 1
    assert store.count_examples(ExampleFilter(flag="near_duplicate")) == 0


def test_decided_examples_keep_their_flags(store: Store) -> None:
    store.add_examples(
        [make_example(), make_example(completion=json.dumps(json.loads(make_example().completion)))]
    )
    accept_examples(store, [1], curator="kim")
    write_row_flags(store, check_set(store))
    example = store.get_example(1)
    assert example is not None
    assert (example.flags, example.decided_by) == ((), "kim")
