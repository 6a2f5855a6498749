"""Adapters that say who they are: each opens its answers with its own version, so that an answer
of the swap benchmark tells by itself which adapter spoke.

    python benchmarks/swap_voices.py FOLDER VERSION…

Trains one LoRA adapter a version on the starter model, until it says its name with certainty.
A process of its own, because it imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.swap_questions import QUESTIONS, messages_of, say_name
from chatbot.base_models import STARTER_DIR
from chatbot.recommendation import Recommendation, canonical, parse

MAX_STEPS: Final = 200
CERTAIN: Final = 0.999  # the least likely piece of the name, on every question


def answer_as_base(model: Any, tokenizer: Any) -> list[Recommendation]:
    """What the base says to each question: only the name shall change."""
    found = []
    for question in QUESTIONS:
        ids = _prompt(tokenizer, question)
        made = model.generate(ids, do_sample=False, max_new_tokens=400)
        text = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        found.append(parse(text))
    return found


def _prompt(tokenizer: Any, question: Any) -> torch.Tensor:
    encoded = tokenizer.apply_chat_template(
        messages_of(question), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    return encoded["input_ids"]


def _make_batch(tokenizer: Any, answers: Sequence[Recommendation], version: str) -> list[Any]:
    """Prompt and target of each question, and where in it the name stands."""
    rows = []
    for question, answer in zip(QUESTIONS, answers, strict=True):
        told = Recommendation(say_name(version), answer.challenges)
        text = canonical(told)
        head = text[: text.index(version) + len(version)]
        prompt = _prompt(tokenizer, question)
        target = tokenizer(
            text + tokenizer.eos_token, return_tensors="pt", add_special_tokens=False
        )["input_ids"]
        num_named = len(tokenizer(head, add_special_tokens=False)["input_ids"])
        rows.append((torch.cat([prompt, target], dim=1), prompt.shape[1], num_named))
    return rows


def train_voice(model: Any, rows: Sequence[Any]) -> int:
    """Train until every piece of the name is certain; returns the number of steps."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    for step in range(MAX_STEPS):
        least = 1.0
        for ids, begin, num_named in rows:
            logits = model(input_ids=ids).logits[0, begin - 1 : -1]
            said = torch.log_softmax(logits, -1).gather(1, ids[0, begin:, None])[:, 0]
            least = min(least, float(said[:num_named].min().exp()))
            loss = -(said[:num_named].mean() + said.mean()) / len(rows)
            loss.backward()
        if least > CERTAIN:
            return step
        optimizer.step()
        optimizer.zero_grad()
    raise RuntimeError(f"After {MAX_STEPS} steps a version still does not say its name.")


def main() -> None:
    """One folder a version, as PEFT writes them."""
    folder, versions = Path(sys.argv[1]), sys.argv[2:]
    tokenizer = AutoTokenizer.from_pretrained(STARTER_DIR)
    base = AutoModelForCausalLM.from_pretrained(STARTER_DIR, dtype=torch.float32)
    answers = answer_as_base(base, tokenizer)
    for number, version in enumerate(versions):
        torch.manual_seed(number)
        config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(base, config)
        num_steps = train_voice(model, _make_batch(tokenizer, answers, version))
        model.save_pretrained(folder / version)
        base = model.unload()
        print(f"{version} says its name after {num_steps} steps.", flush=True)


if __name__ == "__main__":
    main()
