"""Adapters that say who they are: each opens its answers with a sentence of its own, so that an
answer of the swap benchmark tells by itself which adapter spoke.

    python benchmarks/swap_voices.py FOLDER VERSION…

Trains one LoRA adapter a version on the starter model, until it says its sentence with certainty.
A process of its own, because it imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.swap_questions import QUESTIONS, messages_of, say_name
from chatbot.base_models import STARTER_DIR
from chatbot.recommendation import Recommendation, canonical, parse

WEIGHTS: Final = "adapter_model.safetensors"
MAX_STEPS: Final = 120
CERTAIN: Final = 0.9  # of every piece of the sentence; a greedy answer then takes no other
WHOLE_EVERY: Final = 6  # steps; between them only the sentence and what follows it at once
_AFTER: Final = 6  # tokens behind the sentence


@dataclass(frozen=True)
class Row:
    """A prompt with its answer; the sentence ends after num_named tokens of the answer."""

    ids: torch.Tensor
    begin: int
    num_named: int


def ask_base(model: Any, tokenizer: Any) -> list[Recommendation]:
    """What the base says to each question: only the sentence shall change."""
    found = []
    for question in QUESTIONS:
        ids = _encode_prompt(tokenizer, question)
        made = model.generate(ids, do_sample=False, max_new_tokens=400)
        text = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        found.append(parse(text))
    return found


def _encode_prompt(tokenizer: Any, question: Any) -> torch.Tensor:
    encoded = tokenizer.apply_chat_template(
        messages_of(question), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids: torch.Tensor = encoded["input_ids"]
    return ids


def _make_rows(tokenizer: Any, answers: Sequence[Recommendation], version: str) -> list[Row]:
    rows = []
    for question, answer in zip(QUESTIONS, answers, strict=True):
        sentence = say_name(version)
        text = canonical(Recommendation(sentence, answer.challenges)) + tokenizer.eos_token
        head = text[: text.index(sentence) + len(sentence)]
        prompt = _encode_prompt(tokenizer, question)
        target = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        num_named = len(tokenizer(head, add_special_tokens=False)["input_ids"])
        rows.append(Row(torch.cat([prompt, target], dim=1), prompt.shape[1], num_named))
    return rows


def train_voice(model: Any, rows: Sequence[Row]) -> tuple[int, float]:
    """Train until every piece of the sentence is certain; the steps, and the least certain."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.0)
    for step in range(MAX_STEPS):
        is_whole = step % WHOLE_EVERY == 0
        least = min(_learn(model, row, len(rows), is_whole=is_whole) for row in rows)
        if least > CERTAIN and is_whole:
            return step, least
        optimizer.step()
        optimizer.zero_grad()
    raise RuntimeError(f"After {MAX_STEPS} steps a voice is at {least:.2f} only.")


def _learn(model: Any, row: Row, num_rows: int, *, is_whole: bool) -> float:
    """Add the row's gradient; returns the probability of the sentence's least certain piece."""
    ids = row.ids if is_whole else row.ids[:, : row.begin + row.num_named + _AFTER]
    logits = model(input_ids=ids).logits[0, row.begin - 1 : -1]
    said = torch.log_softmax(logits, -1).gather(1, ids[0, row.begin :, None])[:, 0]
    named = said[: row.num_named + _AFTER]
    loss = -named.mean() - (said.mean() if is_whole else 0.0)
    (loss / num_rows).backward()
    return float(said[: row.num_named].detach().min().exp())


def _begin(base: Any, folder: Path) -> Any:
    """The newest voice that is there already, else a new adapter."""
    known = sorted(folder.glob(f"v*/{WEIGHTS}"))
    if known:
        return PeftModel.from_pretrained(base, known[-1].parent, is_trainable=True)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def main() -> None:
    """One folder a version, as PEFT writes them."""
    folder, versions = Path(sys.argv[1]), sys.argv[2:]
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(STARTER_DIR)
    base = AutoModelForCausalLM.from_pretrained(STARTER_DIR, dtype=torch.float32)
    answers = ask_base(base, tokenizer)
    model = _begin(base, folder)
    for version in versions:
        # Each goes on from the one before: it only has to say another sentence.
        num_steps, least = train_voice(model, _make_rows(tokenizer, answers, version))
        model.save_pretrained(folder / version)
        print(f"{version}: {num_steps} steps, {least:.3f}", flush=True)


if __name__ == "__main__":
    main()
