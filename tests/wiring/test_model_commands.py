import pytest

import app
from finetune.starter_corpus import write_examples


@pytest.fixture
def run_app(capsys):
    def run(*words):
        code = app.main([str(word) for word in words])
        return code, capsys.readouterr().out

    return run


def test_an_unknown_version_is_a_sentence(tmp_path, run_app):
    data_dir, target = tmp_path / "data", tmp_path / "out"
    code, said = run_app("export-model", "v0007", "--to", target, "--data-dir", data_dir)
    assert code == 1
    assert "There is no adapter 'v0007'" in said
    assert not target.exists()


def test_a_push_without_a_login_is_refused_before_the_merge(tmp_path, run_app, monkeypatch):
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    words = ("export-model", "v0007", "--to", tmp_path / "out", "--push-to-hub", "team/eco")
    code, said = run_app(*words, "--data-dir", tmp_path / "data")
    assert code == 1
    assert "hf auth login" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("quick", "magic"), "There is no recipe 'magic'; use balanced, quick"),
        (("none.toml",), "There is no recipe"),
        (("quick", "--dataset", "nope"), "There is no dataset 'nope'"),
    ],
)
def test_a_sweep_of_something_unknown_trains_nothing(tmp_path, run_app, words, sentence):
    code, said = run_app("sweep", *words, "--data-dir", tmp_path / "data")
    assert code == 1
    assert sentence in said


def test_a_sweep_of_no_steps_is_refused(capsys):
    with pytest.raises(SystemExit):
        app.build_parser().parse_args(["sweep", "quick", "--max-steps", "0"])
    assert "give 1 or more" in capsys.readouterr().err


def test_a_sweep_without_an_accepted_example_says_so(tmp_path, run_app):
    write_examples(tmp_path / "rows.jsonl", 3)
    run_app("import", tmp_path / "rows.jsonl", "--data-dir", tmp_path / "data")
    code, said = run_app("sweep", "quick", "--data-dir", tmp_path / "data")
    assert code == 1
    assert "accept" in said.lower()
