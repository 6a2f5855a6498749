"""What is served must be what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.applied import RESULT_KEY, find_mismatch, measure_applied
from tests.tiny_models import NO_EFFECT, build_adapter, build_model


@pytest.mark.parametrize(("trained", "served"), [(0.3, 0.3), (0.3, 0.34), (1e-3, 0.015)])
def test_the_same_effect_within_rounding_is_no_mismatch(trained: float, served: float) -> None:
    assert find_mismatch({RESULT_KEY: trained}, served) is None


@pytest.mark.parametrize(("trained", "served"), [(0.3, 0.1), (0.3, 0.6), (0.1, 0.0)])
def test_another_effect_is_told_with_both_figures(trained: float, served: float) -> None:
    reason = find_mismatch({RESULT_KEY: trained}, served)
    assert reason is not None
    assert reason.code == "differs_from_training"
    assert f"{served:.3f}" in reason.message
    assert f"{trained:.3f}" in reason.message


@pytest.mark.parametrize("result", [{}, {RESULT_KEY: None}])
def test_a_training_that_did_not_say_proves_nothing(result: dict[str, float | None]) -> None:
    assert find_mismatch(result, 0.3) is None


@pytest.mark.slow
def test_a_real_adapter_has_an_effect_and_one_with_wrong_names_has_none(tmp_path: Path) -> None:
    """The real peft on a tiny model; with wrong names it warns, and applies nothing."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = build_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    effects = []
    for name, shape in (("good", None), ("wrong", NO_EFFECT)):
        adapter = build_adapter(tmp_path / name, folder, shape)
        base = AutoModelForCausalLM.from_pretrained(folder)
        if shape is None:
            model = PeftModel.from_pretrained(base, adapter)
        else:
            with pytest.warns(UserWarning, match="missing adapter keys"):
                model = PeftModel.from_pretrained(base, adapter)
        effects.append(measure_applied(model, tokenizer, {}))
    assert effects[0] > 0.1
    assert effects[1] == 0.0
