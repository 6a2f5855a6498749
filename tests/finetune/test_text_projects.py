"""A project whose answers are free text: its own questions, its own figures, no JSON anywhere."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from feedback_store.records import Dataset
from feedback_store.store import Store
from finetune.bench import Bench
from finetune.cases import text_cases
from finetune.copies import TrainingAnswer
from finetune.dataset import freeze_dataset
from finetune.evaluate import EvaluationSettings, Generated, GenerateRequest
from finetune.gate import Thresholds
from finetune.metrics import TEXT_CHECKS, Measurement, measure
from finetune.model_card import write_card
from finetune.progress import Control
from finetune.registry import promote, publish_adapter
from finetune.report import Answer, Report
from finetune.scores import ScoreRequest
from finetune.selection import DatasetSettings, make_dataset_settings
from finetune.swap import Promotion, promote_live
from tests.finetune.examples import make_example
from tests.finetune.fake_serving import VOICES, FakeServing, say
from tests.finetune.published import PASSED, add_run, make_report, publish

THINGS = [
    f"{what} {how}"
    for what in ("화분", "자전거", "빨래", "창문", "책상", "냄비")
    for how in ("닦는 법", "고치는 법", "버리는 법", "고르는 법", "두는 곳", "아끼는 법")
]

WORDS = ["천천히", "물로", "아침에", "조금씩", "햇볕에", "가볍게", "마른 천으로"]


def question(thing: str) -> str:
    return f"{thing} 좀 알려 줄래?"


def answer_to(asked: str, seed: int = 0) -> str:
    drawn = random.Random(f"{asked}/{seed}")
    words = drawn.sample(["천천히", "물로", "아침에", "조금씩", "햇볕에", "가볍게", "마른 천에"], 4)
    return f"{asked.removesuffix(' 좀 알려 줄래?')} 말이지요? {', '.join(words)} 해 보면 좋아요."


def write_rows(store: Store, name: str, things: Sequence[str]) -> None:
    folder = store.data_dir / "datasets" / "d1"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", encoding="utf-8") as file:
        for number, thing in enumerate(things):
            row = {
                "prompt": [{"role": "user", "content": question(thing)}],
                "completion": [{"role": "assistant", "content": answer_to(question(thing), 1)}],
                "example_id": number,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def speak(request: GenerateRequest) -> Generated:
    return say(answer_to(request.messages[-1]["content"], request.seed))


def mumble(request: GenerateRequest) -> Generated:
    """Half of the answers have no spaces."""
    told = speak(request)
    is_bad = request.seed % 2 == 0
    return replace(told, text=told.text.replace(" ", "")) if is_bad else told


class TextServing(FakeServing):
    """A base that mumbles; adapters find accepted answers likelier."""

    def __init__(self) -> None:
        super().__init__()
        self.voices[None] = mumble

    def score(self, requests: Sequence[ScoreRequest]) -> list[float]:
        return [-2.0 if request.adapter is None else -1.0 for request in requests]


@pytest.fixture
def bench(store: Store, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setitem(VOICES, "speak", speak)
    write_rows(store, "test.jsonl", THINGS)
    settings = EvaluationSettings(answer_format="text")
    return Bench(store, store.data_dir, TextServing(), settings)


def test_a_good_text_candidate_passes(bench: Bench) -> None:
    run = add_run(bench.store, "r1", "speak")
    report, verdict = bench.judge(run, Thresholds(), Control())
    assert (verdict.outcome, report.answer_format) == ("pass", "text")
    assert verdict.reasons[-1].code == "judged_as_text"
    assert {metric.name for metric in report.metrics} & {"valid_json", "category_fit"} == set()
    assert bench.serving.asked  # type: ignore[attr-defined]
    assert not any(request.constrained for request in bench.serving.asked)  # type: ignore[attr-defined]
    assert {answer.case_id.partition("-")[0] for answer in report.answers} == {"test"}


def test_a_bad_text_candidate_fails_by_its_own_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VOICES, "endless", lambda request: say("그리고 또 " * 40, "length"))
    _, verdict = bench.judge(add_run(bench.store, "r1", "endless"), Thresholds(), Control())
    named = {reason.params.get("metric") for reason in verdict.reasons}
    assert verdict.outcome == "fail"
    assert named >= {"unended", "repetition", "odd_length"}
    assert not named & {"valid_json", "canonical_json", "valid_with_schema"}


def test_too_few_kept_rows_are_said_with_what_to_do(bench: Bench) -> None:
    write_rows(bench.store, "test.jsonl", THINGS[:9])
    _, verdict = bench.judge(add_run(bench.store, "r1", "speak"), Thresholds(), Control())
    assert verdict.outcome == "incomplete"
    assert "accept more, or read the answers" in " ".join(verdict.sentences)


@pytest.fixture
def froze_twice(bench: Bench) -> tuple[Dataset, Dataset]:
    """The same examples under the share of before, which production learnt, and that of now."""
    store = bench.store
    rows = [
        make_example(
            messages=({"role": "user", "content": question(f"{number}층 {thing}")},),
            completion=answer_to(question(f"{number}층 {thing}")),
            conversation_id=f"{number}/{thing}",
        )
        for number in range(8)
        for thing in THINGS
    ]
    ids = [example_id for example_id in store.add_examples(rows) if example_id]
    store.decide_examples(ids, state="accepted", decided_by="kim")
    before, now = (
        freeze_dataset(store, store.data_dir, DatasetSettings(validation_share=share))
        for share in (0.10, make_dataset_settings("text").validation_share)
    )
    run = replace(add_run(store, "r0", "speak"), dataset_id=before.dataset_id)
    publish_adapter(store, store.data_dir, run, make_report(), PASSED)
    promote(store, "v0001", "admin", "good")
    return before, now


def read_test_ids(dataset: Dataset) -> set[int]:
    lines = (Path(dataset.path) / "test.jsonl").read_text("utf-8").splitlines()
    return {json.loads(line)["example_id"] for line in lines}


def trained_on(store: Store, dataset: Dataset) -> set[int]:
    rows = store.list_dataset_rows(dataset.dataset_id)
    return {example_id for example_id, split in rows if split == "train"}


def test_what_production_learnt_is_not_asked(
    bench: Bench, froze_twice: tuple[Dataset, Dataset]
) -> None:
    before, now = froze_twice
    kept = read_test_ids(now)
    learnt = kept & trained_on(bench.store, before)
    assert len(learnt) > 10
    exam = bench.make_exam(now.dataset_id)
    assert exam.num_learnt == len(learnt)
    texts = {bench.store.get_example(row_id).completion for row_id in kept - learnt}
    assert {row.completion for row in exam.rows} == texts
    assert {case.accepted for case in exam.cases} == texts
    assert bench.make_exam(before.dataset_id).num_learnt == 0
    elsewhere = replace(bench, serving=FakeServing(base_model="kanana"))
    assert elsewhere.make_exam(now.dataset_id).num_learnt == 0  # there the base answers


def test_a_gate_that_loses_too_many_rows_is_incomplete_and_says_why(
    bench: Bench, froze_twice: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VOICES, "other", lambda request: say(speak(request).text + " 꼭이요."))
    exam = bench.make_exam(froze_twice[1].dataset_id)
    run = replace(add_run(bench.store, "r1", "other"), dataset_id=froze_twice[1].dataset_id)
    report, verdict = bench.judge(run, Thresholds(), Control())
    assert len(report.answers) == len(exam.rows) < Thresholds().min_pairs
    assert verdict.outcome == "incomplete"
    (note,) = [reason for reason in verdict.reasons if reason.code == "learnt_left_out"]
    assert note.params == {"count": exam.num_learnt}
    assert Report.from_dict(report.to_dict()).num_learnt == exam.num_learnt


def measure_text(
    text: str, accepted: str, training: Sequence[TrainingAnswer] = (), asked: str = "너 귀찮아?"
) -> Measurement:
    (case,) = text_cases([("1", ({"role": "user", "content": asked},), accepted)])
    answer = Answer("test-1/free", case.case_id, False, "k", asked, text, "stop", 9.0)
    return measure([answer], [case], training, "text")


ROBOTS = TrainingAnswer(
    None, "십 년 뒤에는 로봇이 집안일을 다 해 줄 거라고 믿어요.", "십 년 뒤에는 어떤 로봇이 있을까?"
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("5. 혜나! 그건 아니에요.", "leading_numbers"),
        ("힐링할수있는시는건강이라고생각해요!", "spaced_korean"),
        ("그건 공HED 같은 말이에요.", "pure_language"),
        ("문의는 010-1234-5678 로 주세요.", "personal_data"),
        ("자세히는 https://eco-sale.shop 에서 보세요.", "links"),
        ("아니요. " * 100, "odd_length"),
        (ROBOTS.text, "parroted"),
        (ROBOTS.text, "copied"),
    ],
)
def test_each_fault_of_a_text_moves_its_figure(text: str, fault: str) -> None:
    accepted = "아니에요, 전혀 귀찮지 않아요."
    assert fault in {item.metric for item in measure_text(text, accepted, [ROBOTS]).failures}
    assert measure_text(accepted, accepted, [ROBOTS]).failures == ()


def test_what_people_accept_themselves_is_no_fault() -> None:
    """Lists, links and foreign words are faults only where nobody wants them."""
    accepted = "1. https://example.org 에서 LoRA adapter 를 받으세요."
    assert measure_text("2. https://example.org 에서 vLLM server 를 켜요.", accepted).failures == ()


def test_a_training_answer_to_nearly_the_same_question_is_no_parroting() -> None:
    again = replace(ROBOTS, question="십 년 뒤에 어떤 로봇이 있을까요?")
    found = measure_text(ROBOTS.text, "글쎄요.", [again], "십 년 뒤에는 어떤 로봇이 있을까?")
    assert "parroted" not in {item.metric for item in found.failures}


WANTS: Final = "위치: {}\n직업: {}\n카테고리: {}\n추천해 주세요."
FITTING: Final = "바쁜 하루 사이에 끼워 넣기 쉬운 플로깅을 권해 드려요."
TAUGHT: Final = [
    TrainingAnswer(None, f"{place}에서 {theme} 하나를 골라 가볍게 시작해 보세요.", asked)
    for place in ("도시", "산", "바닷가", "농촌")
    for theme in ("비건", "에너지 절약", "공유 문화")
    for asked in (WANTS.format(place, "사무직", theme), WANTS.format(place, "영업직", theme))
]


@pytest.mark.parametrize(
    ("taught_for", "is_parroted"),
    [
        ([WANTS.format("도시", "영업직", "플로깅")], False),
        ([WANTS.format("바닷가", "재택근무", "비건")], True),
        (["잠이 안 와요. 무슨 책을 읽을까요?"], True),
        # One answer taught for several questions belongs to the one that fits best.
        (["잠이 안 와요.", WANTS.format("도시", "영업직", "플로깅"), "배고파요."], False),
    ],
)
def test_a_copied_answer_is_parroted_where_its_question_is_no_nearer_than_most(
    taught_for: list[str], is_parroted: bool
) -> None:
    """All questions share their form, so a mere likeness says nothing."""
    rows = [*TAUGHT, *(TrainingAnswer(None, FITTING, asked) for asked in taught_for)]
    asked = "주운 쓰레기는 어떻게 버려요?\n\n" + WANTS.format("도시", "영업직", "플로깅")
    found = measure_text(FITTING, "장갑과 봉투만 있으면 바로 시작할 수 있어요.", rows, asked)
    assert ("parroted" in {item.metric for item in found.failures}) is is_parroted


def test_where_all_ask_the_same_last_nothing_is_parroted() -> None:
    rows = [replace(row, question="추천해 주세요.") for row in TAUGHT]
    found = measure_text(TAUGHT[0].text, "두부부터 드셔 보세요.", rows, "추천해 주세요.")
    assert "parroted" not in {item.metric for item in found.failures}


def test_the_figures_of_a_text_say_nothing_of_json() -> None:
    names = {check.name for check in TEXT_CHECKS}
    assert not {name for name in names if "json" in name or "schema" in name}
    assert all(check.needs == "text" for check in TEXT_CHECKS)


def test_a_text_version_is_warmed_up_as_people_will_ask_it(store: Store) -> None:
    adapter = publish(store, "r1")
    store.update_adapter(adapter.version, report={**adapter.report, "answer_format": "text"})
    serving = FakeServing()
    promote_live(store, serving, adapter.version, Promotion("admin", "good"))
    assert [request.constrained for request in serving.asked] == [False]
    promote_live(store, serving, None, Promotion("admin", "back"))
    assert [request.constrained for request in serving.asked] == [False, False]


def test_the_card_of_a_text_version_promises_no_json() -> None:
    manifest = {"version": "v1", "base_model": "b", "report": {"answer_format": "text"}}
    card = write_card(manifest, is_merged=False)
    assert "plain text" in card
    assert "JSON" not in card
    assert "eco-challenges" not in card
