"""Commands that keep the data whole."""

import re
from pathlib import Path

import pytest

import app
from feedback_store.backup import backup
from feedback_store.database import DATABASE_NAME
from feedback_store.sqlite import connect
from feedback_store.store import Store
from tests.feedback_store import records


def test_the_doctors_advice_on_the_search_index_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(tmp_path) as store:
        store.add_examples([records.example()])
        backup(tmp_path)
    connection = connect(tmp_path / DATABASE_NAME)
    connection.execute("INSERT INTO example_search (example_search) VALUES ('delete-all')")
    connection.close()
    assert app.main(["doctor", "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    words = re.findall(r"'python app.py (doctor [^']+)'", said)[0].split()
    assert app.main([*words, "--data-dir", str(tmp_path)]) == 0


def test_the_search_index_is_not_rebuilt_beside_a_running_application(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(tmp_path):
        words = ["doctor", "--rebuild-search", "--data-dir", str(tmp_path)]
        assert app.main(words) == 1
    assert "in use by" in capsys.readouterr().err
