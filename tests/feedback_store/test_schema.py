"""Migrations: every released schema comes up to date, and a newer one is left alone."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedback_store.database import DATABASE_NAME
from feedback_store.doctor import examine
from feedback_store.errors import AffectedSQLite, NewerSchema
from feedback_store.records import ExampleFilter, TurnFilter
from feedback_store.schema import SCHEMA_VERSION, migrate, read_version
from feedback_store.sqlite import check_version, connect
from feedback_store.store import Store
from tests.feedback_store.released_schemas import fixture_path, unpack


def test_there_is_a_fixture_of_every_schema() -> None:
    assert all(fixture_path(version).exists() for version in range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_released_schema_comes_up_to_date_with_its_rows(version: int, tmp_path: Path) -> None:
    unpack(version, tmp_path / DATABASE_NAME)
    with Store.open(tmp_path) as store:
        (turn,) = store.list_turns("c1")
        assert turn.user_text == "두부 요리 추천해 주세요"
        assert store.get_feedback(turn.turn_id, "ann")
        # An index that came after the rows has them; one that came before is filled by the store.
        expected = 1 if version == 1 else 0
        assert store.count_examples(ExampleFilter(flag="long", rating="like")) == expected
        assert store.search_turns("두부", TurnFilter(rating="like")).total == 1
        store.rebuild_search()
        assert store.count_examples(ExampleFilter(flag="long", rating="like")) == 1
        assert store.read_view("ratings_by_adapter")[0]["num_likes"] == 1
    problems = [finding for finding in examine(tmp_path) if finding.level == "problem"]
    assert problems == []


def test_a_newer_database_is_refused_and_not_a_byte_of_it_changes(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.next_adapter_version()
    path = tmp_path / DATABASE_NAME
    connection = connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(
        NewerSchema, match=f"schema 99, and this version knows up to {SCHEMA_VERSION}"
    ):
        Store.open(tmp_path)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert Store.owner(tmp_path) is None


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2"])
def test_a_library_that_loses_data_is_refused_with_the_cure(version: str) -> None:
    with pytest.raises(AffectedSQLite, match="pip install"):
        check_version(version)


def test_a_sound_library_is_accepted() -> None:
    check_version("3.51.3")
    check_version()


def _migrate(path: Path) -> int:
    connection = connect(path)
    migrate(connection)
    version = read_version(connection)
    connection.close()
    return version


def test_starters_that_race_migrate_once(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_NAME
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(_migrate, [path] * 8)) == {SCHEMA_VERSION}
