"""The file as other tools see it: plain tables, readable names, views for common questions."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlite_utils import Database
from sqlite_utils.cli import cli

from feedback_store.database import DATABASE_NAME
from feedback_store.errors import NotFound
from feedback_store.records import NewFeedback
from feedback_store.store import Store
from feedback_store.views import VIEWS
from tests.feedback_store import records


@pytest.fixture
def rated(store: Store) -> Store:
    store.add_conversation(records.conversation())
    store.add_adapter(records.adapter("v0001"))
    store.set_alias("production", "v0001", actor="ann", reason="passed")
    for adapter, rating in (("", "dislike"), ("v0001", "like"), ("v0001", None), ("v0001", "like")):
        turn = store.add_turn(records.turn(adapter=adapter))
        if rating:
            feedback = NewFeedback(
                turn_id=turn.turn_id, person_id="ann", rating=rating, reasons=("clear",)
            )
            store.set_feedback(feedback)
            store.set_feedback(feedback)
    store.add_examples([records.example()])
    store.decide_examples([1], state="accepted", decided_by="bob")
    return store


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_answers(rated: Store, name: str) -> None:
    assert rated.read_view(name)


def test_ratings_are_counted_once_per_answer(rated: Store) -> None:
    by_adapter = {row["adapter"]: row for row in rated.read_view("ratings_by_adapter")}
    assert by_adapter["v0001"] == {
        "adapter": "v0001",
        "num_turns": 3,
        "num_likes": 2,
        "num_dislikes": 0,
        "like_rate": 1.0,
    }
    assert by_adapter[""]["num_dislikes"] == 1
    assert len(rated.read_view("answers")) == 4


def test_an_adapter_is_shown_with_its_alias(rated: Store) -> None:
    (row,) = rated.read_view("adapter_origins")
    assert (row["version"], row["aliases"]) == ("v0001", "production")


def test_an_unknown_view_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="no view"):
        store.read_view("turns; DROP TABLE turns")


def test_sqlite_utils_sees_plain_tables_with_keys(rated: Store) -> None:
    db = Database(str(rated.data_dir / DATABASE_NAME))
    tables = {name for name in db.table_names() if "search" not in name}
    assert tables >= {"conversations", "turns", "feedback", "examples", "adapters", "consents"}
    assert all(db[name].pks != ["rowid"] for name in tables if not name.startswith("sqlite_"))
    assert {key.other_table for key in db["turns"].foreign_keys} == {"conversations", "turns"}
    assert db["turns"].get(1)["user_text"] == "추천해 주세요"
    db.close()


def test_every_table_and_view_can_be_counted_and_read_as_datasette_does(rated: Store) -> None:
    db = Database(str(rated.data_dir / DATABASE_NAME))
    for name in (*db.table_names(), *db.view_names()):
        assert db[name].count >= 0
        list(db.query(f"SELECT * FROM [{name}] LIMIT 101"))
    db.close()


def test_the_sqlite_utils_command_counts_the_tables(rated: Store) -> None:
    path = str(rated.data_dir / DATABASE_NAME)
    done = CliRunner().invoke(cli, ["tables", path, "--counts"])
    assert (done.exit_code, done.exception) == (0, None)
    assert '{"table": "turns", "count": 4}' in done.output


def test_every_view_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")
    assert [name for name in VIEWS if f"`{name}`" not in page] == []
