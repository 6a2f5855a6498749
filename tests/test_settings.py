import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from settings import ROOT, SECRETS, Settings, SettingsError, add_flags, load_settings, read_file


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(arguments)


def load(*arguments, environ=None, toml="", tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(toml, encoding="utf-8")
    return load_settings(parse(*arguments), environ or {}, path)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    toml = '[server]\nport = 1\nhost = "a"\n[model]\nmodel = "m"\n'
    settings = load(
        "--port",
        "3",
        environ={"ECOLOOP_PORT": "2", "ECOLOOP_HOST": "b"},
        toml=toml,
        tmp_path=tmp_path,
    )
    assert (settings.port, settings.host, settings.model) == (3, "b", "m")


def test_lists_come_comma_separated_or_as_toml_lists(tmp_path):
    toml = '[server]\ncors_origins = ["https://a.example"]\n'
    settings = load("--vllm-urls", "http://x:1, http://y:2", toml=toml, tmp_path=tmp_path)
    assert settings.cors_origins == ("https://a.example",)
    assert settings.vllm_urls == ("http://x:1", "http://y:2")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[server]\nprt = 1\n", ("prt", "no setting")),
        ("[model]\nport = 1\n", ("port", "no setting")),
        ("port = 1\n", ("port", "outside a section")),
        ('[server]\nport = "many"\n', ("port", "settings.toml", "int")),
        ("[server\n", ("not valid TOML",)),
        ('[model]\nengine = "magic"\n', ("engine", "magic", "vllm")),
        ("[server]\nport = 70000\n", ("port", "70000", "65535")),
        ("[learning]\nnum_cases = 7\n", ("num_cases", "7", "the gate needs 24")),
        ('[server]\nroot_path = "eco/"\n', ("root_path", "eco/", "/eco")),
        ('[server]\ntrusted_proxies = ["nginx"]\n', ("trusted_proxies", "nginx", "10.0.0.0/8")),
    ],
)
def test_a_wrong_setting_is_named_in_a_sentence(toml, words, tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(toml=toml, tmp_path=tmp_path)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("num", [8, 23])
def test_as_few_questions_as_were_allowed_once_become_24_with_a_warning(num, tmp_path, caplog):
    toml = f"[learning]\nnum_cases = {num}\n"
    assert load(toml=toml, tmp_path=tmp_path).num_cases == 24
    assert [record.getMessage() for record in caplog.records] == [
        f"num_cases is {num}; 24 is used: the gate needs 24 questions that both adapters answered."
    ]
    assert load("--num-cases", "30", toml=toml, tmp_path=tmp_path).num_cases == 30
    assert len(caplog.records) == 1


def test_a_wrong_variable_is_named(tmp_path):
    with pytest.raises(SettingsError, match="ECOLOOP_SHARE"):
        load(environ={"ECOLOOP_SHARE": "perhaps"}, tmp_path=tmp_path)


def test_the_data_folder_is_absolute(tmp_path):
    assert load(tmp_path=tmp_path).data_dir == Path("data").resolve()


def test_settings_toml_shows_every_setting_with_its_default(tmp_path):
    text = (ROOT / "settings.toml").read_text(encoding="utf-8")
    path = tmp_path / "settings.toml"
    path.write_text(_uncomment(text), encoding="utf-8")
    values = read_file(path)
    assert set(values) == {entry.name for entry in fields(Settings)}
    assert all(values[entry.name] == entry.default for entry in fields(Settings))


def _uncomment(text):
    return "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in text.splitlines()
    )


def test_help_names_every_setting_but_the_secrets():
    parser = argparse.ArgumentParser()
    add_flags(parser)
    text = parser.format_help()
    for entry in fields(Settings):
        flag = "--" + entry.name.replace("_", "-")
        assert (flag in text) == (entry.name not in SECRETS)
    assert "default: 7860" in text


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"judge_url": "file:///etc/passwd", "judge_model": "m"}, "http"),
        ({"judge_url": "http://127.0.0.1:8001/v1"}, "belong together"),
        ({"judge_model": "m"}, "belong together"),
    ],
)
def test_a_judge_needs_an_address_and_a_model(values, named):
    with pytest.raises(SettingsError, match=named):
        Settings(**values)
    assert Settings(judge_url="https://example.org/v1", judge_model="m").judge_model == "m"
