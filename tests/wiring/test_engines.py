from pathlib import Path

import pytest

from settings import Settings, SettingsError
from wiring import engines
from wiring.engines import choose_engine, name_base


@pytest.mark.parametrize(
    ("is_installed", "wanted", "urls", "chosen"),
    [
        (True, "auto", (), "vllm"),
        (False, "auto", (), "transformers"),
        (True, "transformers", (), "transformers"),
        (True, "vllm", (), "vllm"),
        (False, "auto", ("http://127.0.0.1:1",), "vllm"),
    ],
)
def test_the_engine_is_what_is_set_or_what_is_there(
    monkeypatch, is_installed, wanted, urls, chosen
):
    monkeypatch.setattr(engines, "is_installed", lambda: is_installed)
    assert choose_engine(Settings(engine=wanted, vllm_urls=urls)) == chosen


def test_asking_for_vllm_where_it_is_not_says_what_to_do(monkeypatch):
    monkeypatch.setattr(engines, "is_installed", lambda: False)
    with pytest.raises(SettingsError, match="--engine transformers"):
        choose_engine(Settings(engine="vllm"))


def test_versions_record_short_names_and_hub_ids_as_they_are_and_folders_absolute(
    tmp_path, monkeypatch
):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert name_base("starter") == "starter"
    assert name_base("owner/model-1b") == "owner/model-1b"
    assert name_base("model") == str(Path(tmp_path / "model").resolve())
