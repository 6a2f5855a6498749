import json
from pathlib import Path

import pytest

from chatbot.engines.model_config import needs_wide_numbers
from tests.tiny_models import KINDS, Kind, build_model


@pytest.mark.parametrize("kind", KINDS)
def test_a_gemma_needs_more_than_float16(kind: Kind, tmp_path: Path) -> None:
    assert needs_wide_numbers(str(build_model(tmp_path, kind))) == (kind == "gemma3")


def test_the_text_part_of_a_larger_gemma_decides(tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert needs_wide_numbers(str(tmp_path))
    assert not needs_wide_numbers("owner/unknown")
