from pathlib import Path

import pytest

from chatbot.base_models import BaseModel, resolve
from finetune.machine import describe_card
from finetune.memory import GIB
from settings import Settings, SettingsError
from tests.tiny_models import build_model
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
    settings = Settings(engine=wanted, vllm_urls=urls)
    assert choose_engine(settings, resolve("starter")) == chosen


def test_asking_for_vllm_where_it_is_not_says_what_to_do(monkeypatch):
    monkeypatch.setattr(engines, "is_installed", lambda: False)
    with pytest.raises(SettingsError, match="--engine transformers"):
        choose_engine(Settings(engine="vllm"), resolve("starter"))


@pytest.mark.parametrize(
    ("kind", "capability", "chosen"),
    [("gemma3", 7, "transformers"), ("gemma3", 8, "vllm"), ("llama", 7, "vllm")],
)
def test_a_gemma_on_a_card_without_bfloat16_is_not_given_to_vllm(
    tmp_path, monkeypatch, kind, capability, chosen
):
    base = BaseModel(kind, str(build_model(tmp_path / kind, kind)))
    monkeypatch.setattr(engines, "is_installed", lambda: True)
    monkeypatch.setattr(engines, "is_cpu_build", lambda: False)
    card = describe_card(15 * GIB, 14 * GIB, capability)
    monkeypatch.setattr(engines, "find_machine", lambda: card)
    assert choose_engine(Settings(), base) == chosen
    if chosen == "transformers":
        with pytest.raises(SettingsError, match="gemma3 with adapters on a card without bfloat16"):
            choose_engine(Settings(engine="vllm"), base)


def test_versions_record_short_names_and_hub_ids_as_they_are_and_folders_absolute(
    tmp_path, monkeypatch
):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert name_base("starter") == "starter"
    assert name_base("owner/model-1b") == "owner/model-1b"
    assert name_base("model") == str(Path(tmp_path / "model").resolve())
