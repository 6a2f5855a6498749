import os
from pathlib import Path

from chatbot.base_models import resolve
from settings import Settings
from wiring.engine_facts import describe_engine, hash_base


def test_the_facts_name_engine_precision_and_base():
    facts = describe_engine(Settings(engine="transformers"), resolve("starter"))
    assert facts["engine"] == "transformers"
    assert "transformers " in facts["version"]
    assert facts["dtype"] in ("float32", "float16", "bfloat16")
    assert facts == describe_engine(Settings(engine="transformers"), resolve("starter"))


def test_other_servers_are_another_engine():
    here = Settings(vllm_urls=("http://one:8000/v1",))
    there = Settings(vllm_urls=("http://two:8000/v1",))
    base = resolve("starter")
    assert describe_engine(here, base) != describe_engine(there, base)


def test_one_changed_byte_of_the_base_is_another_base(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(40 * 1024 * 1024)  # larger than what is read whole
    before = hash_base(tmp_path)
    with weights.open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"x")
    assert hash_base(tmp_path) != before
    (tmp_path / "notes.txt").write_text("nothing that an engine reads")
    assert len(before) == 16
