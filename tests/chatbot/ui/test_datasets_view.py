from typing import Any

from chatbot.ui.datasets_view import ChangedRow, Comparison, DatasetsView, render_datasets
from feedback_store.records import Dataset
from finetune.dataset_diff import DatasetDiff
from tests.chatbot.ui.records import EVIL

MANIFEST = {
    "dataset_id": "3f2a9c0112345678",
    "counts": {"category": {"VEGAN": 30, "": 2}, "source": {"import": 32}},
    "left_out": {"no_consent": 4},
    "settings": {"validation_share": 0.1},
}


def make_dataset(dataset_id: str = "3f2a9c0112345678", **values: Any) -> Dataset:
    usual: dict[str, Any] = {"path": "d", "num_train": 1_234, "num_validation": 56}
    at = "2026-11-21T05:15:00.000Z"
    return Dataset(**{**usual, "dataset_id": dataset_id, "created_at": at, **values})


def draw(**values: Any) -> str:
    usual: dict[str, Any] = {
        "lang": "ko",
        "is_open": True,
        "datasets": (),
        "versions": {},
        "num_accepted": 0,
    }
    return render_datasets(DatasetsView(**{**usual, **values}))


def test_folded_it_tells_only_how_many_there_are() -> None:
    html = draw(is_open=False, datasets=[make_dataset()])
    assert 'aria-expanded="false"' in html
    assert "dataset-freeze" not in html
    assert "아직 없어요" in draw(is_open=False)


def test_a_version_tells_its_rows_and_who_learned_from_it() -> None:
    html = draw(datasets=[make_dataset()], versions={"3f2a9c0112345678": ["v0003"]})
    for words in ("<code>3f2a9c01</code>", "1,234", "v0003", "3f2a9c0112345678/parquet"):
        assert words in html


def test_one_version_in_full_shows_what_its_manifest_counts() -> None:
    html = draw(datasets=[make_dataset(manifest=MANIFEST)], shown_id="3f2a9c0112345678")
    assert "비건 30, 정하지 않음 2" in html
    assert "동의 없음 4" in html
    assert "validation_share 0.1" in html


def test_the_difference_names_rows_and_marks_both_texts() -> None:
    diff = DatasetDiff((7, 8), (1,), (3,), (), {"max_rows_per_person": (5, 9)})
    changed = (ChangedRow(3, "가 나", "가 다"),)
    pair = [make_dataset("aaaa"), make_dataset("bbbb")]
    html = draw(datasets=pair, comparison=Comparison("bbbb", "aaaa", diff, changed))
    assert "<b>2</b> 더해짐" in html
    assert "#7, #8" in html
    assert "max_rows_per_person: 5 → 9" in html
    assert "<del>나</del>" in html
    assert '<option value="bbbb" selected>' in html


def test_the_same_version_twice_has_no_difference_to_show() -> None:
    pair = [make_dataset("aaaa"), make_dataset("bbbb")]
    html = draw(datasets=pair, comparison=Comparison("aaaa", "aaaa", None))
    assert "같은 버전을 두 번 골랐어요" in html
    assert "dataset-diff" not in html
    assert 'id="dataset-before"' in html  # to pick another


def test_one_version_alone_says_that_two_are_needed() -> None:
    assert "버전이 하나 더 생기면" in draw(datasets=[make_dataset()])
    assert "버전이 하나 더 생기면" not in draw()


def test_a_curator_neither_freezes_nor_downloads() -> None:
    html = draw(datasets=[make_dataset()], is_admin=False, num_accepted=9)
    assert "dataset-freeze" not in html
    assert "parquet" not in html


def test_nothing_is_frozen_where_nothing_is_accepted() -> None:
    assert "disabled" in draw()
    assert "disabled" not in draw(num_accepted=1)


def test_text_is_escaped() -> None:
    changed = (ChangedRow(3, EVIL, f"{EVIL}!"),)
    diff = DatasetDiff((), (), (3,), (), {EVIL: (EVIL, EVIL)})
    manifest = {**MANIFEST, "settings": {EVIL: EVIL}, "left_out": {EVIL: 1}}
    pair = [make_dataset("aaaa", manifest=manifest), make_dataset("bbbb")]
    comparison = Comparison("bbbb", "aaaa", diff, changed)
    assert "<img" not in draw(datasets=pair, comparison=comparison, shown_id="aaaa", message=EVIL)
