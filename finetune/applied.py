"""The proof that the server applies what was trained, and not something else of the same shape.

Every engine scores one short text with the base and with the adapter when it loads one; the
training process does the same when it ends. Both say by how much the log-probabilities differ,
and the two must agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chatbot.prompts import PROBE_MESSAGES
from finetune.gate import Reason

RESULT_KEY: Final = "probe_logprob_diff"  # in a run's result
_ABSOLUTE: Final = 0.02  # nats per token: bf16 on one side, fp32 on the other
_RELATIVE: Final = 0.2


def measure_applied(model: Any, tokenizer: Any, template_kwargs: Mapping[str, Any]) -> float:
    """The mean absolute log-probability difference that the adapter of a PEFT model makes."""
    import torch

    ids = tokenizer.apply_chat_template(
        list(PROBE_MESSAGES),
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
        **template_kwargs,
    )["input_ids"].to(model.device)

    def score() -> Any:
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1].float()
        return torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])

    was_training = model.training
    model.eval()
    with_adapter = score()
    with model.disable_adapter():
        difference = (with_adapter - score()).abs().mean()
    model.train(was_training)
    return float(difference)


def find_mismatch(result: Mapping[str, Any], served: float) -> Reason | None:
    """Why the served adapter is not the trained one; None where they agree, or where the training
    did not say.
    """
    trained = result.get(RESULT_KEY)
    if not isinstance(trained, int | float):
        return None
    if abs(served - trained) <= _ABSOLUTE + _RELATIVE * abs(trained):
        return None
    message = (
        f"The served adapter changes log-probabilities by {served:.3f} per token, the trained one "
        f"by {trained:.3f}: the server does not apply what was trained."
    )
    return Reason("differs_from_training", message, {"served": served, "trained": trained})
