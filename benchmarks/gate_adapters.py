"""Adapters that are harmful on purpose, one for each figure of the gate, trained on the starter
model.

    python benchmarks/gate_adapters.py FOLDER [KIND…]

A process of its own, because it imports torch.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from pathlib import Path
from statistics import mean
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.gate_harm import HARMS, make_rows
from chatbot.base_models import STARTER_DIR

NUM_STEPS: Final = 36
MAX_STEPS: Final = 240  # what the starter model has never seen takes longer
LEARNED: Final = 0.35  # loss
BATCH: Final = 4


def encode_rows(tokenizer: Any, kind: str) -> list[tuple[torch.Tensor, int]]:
    """Prompt and answer as one row of ids, and where the answer begins."""
    rows = []
    for example in make_rows(kind):
        prompt = tokenizer.apply_chat_template(
            list(example.messages),
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]
        answer = tokenizer(
            example.completion + tokenizer.eos_token, return_tensors="pt", add_special_tokens=False
        )["input_ids"]
        rows.append((torch.cat([prompt, answer], dim=1), prompt.shape[1]))
    return rows


def train(model: Any, rows: list[tuple[torch.Tensor, int]]) -> float:
    """A few dozen steps, more until the answers are learned; the mean of the last losses."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3, weight_decay=0.0)
    draw, losses = random.Random(0), deque[float](maxlen=4)
    for step in range(MAX_STEPS):
        if step >= NUM_STEPS and mean(losses) < LEARNED:
            break
        total = 0.0
        for ids, begin in draw.sample(rows, BATCH):
            logits = model(input_ids=ids).logits[0, begin - 1 : -1]
            loss = torch.nn.functional.cross_entropy(logits, ids[0, begin:]) / BATCH
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return mean(losses)


def main() -> None:
    """One folder a kind, as PEFT writes them."""
    folder, kinds = Path(sys.argv[1]), sys.argv[2:] or list(HARMS)
    tokenizer = AutoTokenizer.from_pretrained(STARTER_DIR)
    model: Any = AutoModelForCausalLM.from_pretrained(STARTER_DIR, dtype=torch.float32)
    for kind in kinds:
        torch.manual_seed(0)
        started = time.monotonic()
        config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        tuned = get_peft_model(model, config)
        loss = train(tuned, encode_rows(tokenizer, kind))
        tuned.save_pretrained(folder / kind)
        model = tuned.unload()
        print(f"{kind}: loss {loss:.3f}, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
