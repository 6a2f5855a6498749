import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import app
from feedback_store.store import Store
from finetune.starter_corpus import write_examples

ROOT = Path(app.__file__).parent


@dataclass(frozen=True)
class Ended:
    """What a command left on the terminal."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run_app(capsys):
    def run(*words):
        code = app.main([str(word) for word in words])
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


def test_flags_alone_mean_chat():
    assert app.parse(["--share"]).command == "chat"
    assert app.parse([]).command == "chat"
    assert app.parse(["versions", "--json"]).command == "versions"


def test_help_explains_every_command_and_every_option_of_chat():
    text = app.build_parser().format_help()
    for word in ("chat", "retrain", "import", "rollback", "backup", "restore", "doctor"):
        assert f"\n    {word}" in text
    for words in ("--share", "--port", "default: 7860", "--engine", "--data-dir"):
        assert words in text


def test_a_missing_model_folder_is_a_sentence(tmp_path, run_app):
    result = run_app("--model", tmp_path / "nowhere", "--data-dir", tmp_path / "data")
    assert result.returncode == 1
    assert "There is no model folder" in result.stderr


def test_a_port_in_use_is_a_sentence(tmp_path, run_app):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_app("--port", port, "--data-dir", tmp_path / "data")
    assert result.returncode == 1
    assert f"Port {port} is in use" in result.stderr


def test_a_second_process_is_refused_within_a_second_by_name_and_pid(tmp_path, run_app):
    with Store.open(tmp_path):
        result = run_app("--data-dir", tmp_path)
    assert result.returncode == 1
    assert str(os.getpid()) in result.stderr


def test_a_retrain_with_too_few_examples_says_so_without_starting_an_engine(tmp_path, run_app):
    result = run_app("retrain", "--data-dir", tmp_path)
    assert result.returncode == 1
    assert "0 examples are accepted; a retrain needs at least 20." in result.stdout
    assert "Starting the engine" not in result.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--resume",), "There is no retrain to go on with."),
        (("--recipe", "magic"), "There is no recipe 'magic'"),
        (("--learn-from", "pairs"), "0 pairs of a better and a worse answer are there"),
        (("--learn-from", "thumbs"), "0 thumbs up and 0 down are there"),
    ],
)
def test_what_a_retrain_lacks_is_said_without_starting_an_engine(
    tmp_path, run_app, words, sentence
):
    write_examples(tmp_path / "rows.jsonl", 25)
    run_app("import", tmp_path / "rows.jsonl", "--accept", "--data-dir", tmp_path / "data")
    result = run_app("retrain", *words, "--data-dir", tmp_path / "data")
    assert result.returncode == 1
    assert sentence in result.stdout
    assert "Starting the engine" not in result.stdout


def test_rows_are_imported_once_and_frozen_into_a_dataset(tmp_path, run_app):
    path, data_dir = tmp_path / "rows.jsonl", tmp_path / "data"
    write_examples(path, 30)
    first = run_app("import", path, "--accept", "--data-dir", data_dir)
    assert "30 rows: 30 new examples" in first.stdout
    assert "30 accepted" in first.stdout
    again = run_app("import", path, "--accept", "--data-dir", data_dir)
    assert "0 new examples" in again.stdout
    assert "30 known" in again.stdout
    frozen = run_app("dataset", "--data-dir", data_dir)
    assert frozen.returncode == 0, frozen.stdout
    assert "rows to train on" in frozen.stdout


def test_a_backup_is_restored(tmp_path, run_app):
    path, data_dir = tmp_path / "rows.jsonl", tmp_path / "data"
    write_examples(path, 5)
    run_app("import", path, "--data-dir", data_dir)
    saved = run_app("backup", "--to", tmp_path / "backups", "--data-dir", data_dir)
    assert saved.returncode == 0, saved.stderr
    backup = next((tmp_path / "backups").glob("*.db"))
    (data_dir / "ecoloop.db").unlink()
    restored = run_app("restore", backup, "--data-dir", data_dir)
    assert "5 examples" in restored.stdout
    examined = run_app("doctor", "--data-dir", data_dir)
    assert examined.returncode == 0, examined.stdout


def test_opening_the_page_imports_no_heavy_library():
    code = (
        "import sys, wiring.server; "
        "print(sorted({'torch', 'transformers', 'peft', 'trl', 'vllm'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr
