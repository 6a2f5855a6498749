"""What an adapter was trained with is what it is asked with."""

import json
from pathlib import Path

import pytest

from finetune.adapter_checks import AdapterError
from finetune.base_texts import check_base_texts, hash_base_texts
from tests.tiny_models import build_model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return build_model(tmp_path / "base")


def test_an_unchanged_base_passes_and_runs_without_hashes_do_too(base: Path) -> None:
    check_base_texts(hash_base_texts(base), base)
    check_base_texts({}, base)


@pytest.mark.parametrize(
    ("file", "name"),
    [("tokenizer.json", "The tokenizer of"), ("chat_template.jinja", "chat template or end token")],
)
def test_a_changed_file_is_named(base: Path, file: str, name: str) -> None:
    trained = hash_base_texts(base)
    path = base / file
    path.write_text((path.read_text() if path.exists() else "") + " ")
    with pytest.raises(AdapterError, match=name) as caught:
        check_base_texts(trained, base)
    assert caught.value.code == "other_tokenizer"


def test_an_end_token_that_became_a_space_is_another_template(base: Path) -> None:
    trained = hash_base_texts(base)
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": " "}))
    with pytest.raises(AdapterError):
        check_base_texts(trained, base)
