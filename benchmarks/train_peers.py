"""One training as others set it up, in a process of its own: what benchmarks/train.py compares with
and what benchmarks/experiments.py repeats.

    python -m benchmarks.train_peers ORDER.json

- `padded`: every row padded to max_length with the end token, labels a copy of input_ids; the
  transformers trainer does the rest.
- `packing`: TRL's SFTTrainer as it comes, with packing on.
- `plain`: the application's own trainer on whatever the rows hold; nobody looks at them first.
- `evaluate`: no training; an adapter's loss on the validation answers.
- `judge_padded`: no training; what the pre-flight says of the rows as `padded` makes them.
- `answers`: no training; greedy answers to the questions in `questions`.

The loss that counts is computed here for all of them in the same way: mean over the tokens of the
validation answers and their end, and nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback
from transformers import TrainingArguments as Arguments
from trl import SFTConfig, SFTTrainer

from finetune.base_loading import describe_tokenizer
from finetune.job import Base
from finetune.preflight import (
    EncodedRow,
    PaddedBatch,
    check_batch,
    check_rows,
    check_tokenizer,
)
from finetune.recipe import Recipe, count_steps, recipe_from_dict
from finetune.sampled_answers import render_prompt
from finetune.trainer import AnswerTrainer, lora_config
from finetune.training_callback import peak_memory_mib
from finetune.training_rows import TrainingRow, read_rows

ANSWER_TOKENS = 320  # the longest accepted answer has about 200
ANSWERS_AT_ONCE = 24


@dataclass(frozen=True)
class Peer:
    """What one order says."""

    kind: str
    base: str
    dataset: Path
    target: Path  # the adapter
    recipe: Recipe  # adapted: nothing is left open
    device: str
    questions: tuple[list[dict[str, str]], ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """bf16 on a card, else full numbers."""
        return torch.bfloat16 if self.device == "cuda" else torch.float32


class Clock(TrainerCallback):
    """Seconds inside optimizer steps, and tokens that are no padding."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self.seconds = 0.0
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """A step begins."""
        self._began = time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """A step ends."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.monotonic() - self._began


def read_order(path: Path) -> Peer:
    """The order as benchmarks/train.py wrote it."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return Peer(
        kind=values["kind"],
        base=values["base"],
        dataset=Path(values["dataset"]),
        target=Path(values["target"]),
        recipe=recipe_from_dict(values["recipe"]),
        device=values["device"],
        questions=tuple(values.get("questions", ())),
    )


def load_base(peer: Peer, tokenizer: Any) -> Any:
    """The base in training numbers."""
    model = AutoModelForCausalLM.from_pretrained(peer.base, dtype=peer.dtype)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(peer.device)


def to_messages(row: TrainingRow) -> list[dict[str, str]]:
    """Prompt and answer."""
    return row.to_conversation()


def pad_rows(rows: list[TrainingRow], tokenizer: Any, max_length: int) -> Dataset:
    """The mistake of the 140 rows: padding with the end token, all of it in the loss."""
    tokenizer.pad_token = tokenizer.eos_token
    texts = [tokenizer.apply_chat_template(to_messages(row), tokenize=False) for row in rows]
    encoded = tokenizer(
        texts, max_length=max_length, truncation=True, padding="max_length",
        add_special_tokens=False,
    )  # fmt: skip
    columns = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return Dataset.from_dict({**columns, "labels": [list(ids) for ids in encoded["input_ids"]]})


def to_pairs(rows: list[TrainingRow]) -> Dataset:
    """Conversational prompt and completion."""
    answers = [[{"role": "assistant", "content": row.completion}] for row in rows]
    prompts = [[dict(message) for message in row.prompt] for row in rows]
    return Dataset.from_dict({"prompt": prompts, "completion": answers})


def make_padded(peer: Peer, clock: Clock) -> Any:
    """As the script of the 140 rows: everything is padded to max_length."""
    recipe, tokenizer = peer.recipe, AutoTokenizer.from_pretrained(peer.base)
    rows = pad_rows(read_rows(peer.dataset, "train"), tokenizer, recipe.max_length)
    model = get_peft_model(load_base(peer, tokenizer), lora_config(recipe))
    model.enable_input_require_grads()
    batch, micro = recipe.effective_batch_size or 16, recipe.per_device_train_batch_size or 1
    arguments = Arguments(
        **_shared(peer),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch // micro,
        gradient_checkpointing=True,
        fp16=peer.device == "cuda",
        learning_rate=recipe.learning_rate,
        max_steps=count_steps(recipe, len(rows)),
    )
    return Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[clock])


def make_trl(peer: Peer, clock: Clock) -> Any:
    """As TRL comes, beside the rate: its default is for a full fine-tune."""
    recipe, tokenizer = peer.recipe, AutoTokenizer.from_pretrained(peer.base)
    options: dict[str, Any] = {"packing": True, "num_train_epochs": recipe.num_train_epochs}
    if peer.kind == "plain":
        batch, micro = recipe.effective_batch_size or 16, recipe.per_device_train_batch_size or 8
        options = {
            "per_device_train_batch_size": min(batch, micro),
            "gradient_accumulation_steps": max(1, batch // micro),
            "max_steps": count_steps(recipe, len(read_rows(peer.dataset, "train"))),
            "bf16": peer.device == "cuda",
            "gradient_checkpointing": False,
            "train_sampling_strategy": "group_by_length",
        }
    arguments = SFTConfig(
        **_shared(peer),
        learning_rate=recipe.learning_rate,
        max_length=recipe.max_length,
        **options,
    )
    return (AnswerTrainer if peer.kind == "plain" else SFTTrainer)(
        model=load_base(peer, tokenizer),
        args=arguments,
        train_dataset=to_pairs(read_rows(peer.dataset, "train")),
        processing_class=tokenizer,
        peft_config=lora_config(recipe),
        callbacks=[clock],
    )


def _shared(peer: Peer) -> dict[str, Any]:
    return {
        "output_dir": str(peer.target.with_name("checkpoints")),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": peer.device == "cpu",
        "logging_steps": 5,
        "seed": peer.recipe.seed,
        "dataloader_pin_memory": peer.device == "cuda",
    }


def count_tokens(peer: Peer, num_rows_seen: float) -> int:
    """Tokens of the rows themselves; whatever a set-up adds to them teaches nothing."""
    tokenizer = AutoTokenizer.from_pretrained(peer.base)
    rows = read_rows(peer.dataset, "train")
    texts = [tokenizer.apply_chat_template(to_messages(row), tokenize=False) for row in rows]
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    return round(sum(lengths) * num_rows_seen / len(rows))


def train(peer: Peer) -> dict[str, float]:
    """Train as ordered; the figures."""
    clock = Clock()
    trainer = (make_padded if peer.kind == "padded" else make_trl)(peer, clock)
    result = trainer.train()
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.save_pretrained(peer.target)
    epochs = float(trainer.state.epoch)
    num_rows = len(read_rows(peer.dataset, "train"))
    return {
        "tokens_per_s": count_tokens(peer, epochs * num_rows) / clock.seconds,
        "steps": trainer.state.global_step,
        "epochs": round(epochs, 2),
        "train_loss": float(result.training_loss),
        "val_loss": answer_loss(model.eval(), peer),
        "peak_mib": peak_memory_mib(),
    }


def answer_loss(model: Any, peer: Peer) -> float:
    """Mean over the tokens of the validation answers, their end among them."""
    tokenizer = AutoTokenizer.from_pretrained(peer.base)
    total, count = 0.0, 0
    for row in read_rows(peer.dataset, "validation"):
        prompt = tokenizer.apply_chat_template(
            [dict(m) for m in row.prompt], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        answer = [*tokenizer(row.completion, add_special_tokens=False)["input_ids"]]
        ids = torch.tensor([prompt + answer + [tokenizer.eos_token_id]], device=peer.device)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        targets = ids[0, len(prompt) :]
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        count += len(targets)
    return total / count


def load_trained(peer: Peer) -> Any:
    """The base with the adapter in `target`, or alone where there is none."""
    model = load_base(peer, AutoTokenizer.from_pretrained(peer.base))
    if peer.target.is_dir():
        model = PeftModel.from_pretrained(model, str(peer.target))
    return model.eval()


def evaluate(peer: Peer) -> dict[str, float]:
    """The loss on the validation answers."""
    return {"val_loss": answer_loss(load_trained(peer), peer)}


def answer(peer: Peer) -> dict[str, Any]:
    """Greedy answers, and whether each came to its end by itself."""
    model, tokenizer = load_trained(peer), AutoTokenizer.from_pretrained(peer.base)
    tokenizer.padding_side = "left"
    found: list[dict[str, Any]] = []
    for at in range(0, len(peer.questions), ANSWERS_AT_ONCE):
        prompts = tokenizer.apply_chat_template(
            list(peer.questions[at : at + ANSWERS_AT_ONCE]), add_generation_prompt=True,
            padding=True, return_tensors="pt", return_dict=True,
        ).to(peer.device)  # fmt: skip
        stop = tokenizer.eos_token_id
        with torch.no_grad():
            output = model.generate(
                **prompts, max_new_tokens=ANSWER_TOKENS, do_sample=False, eos_token_id=stop,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        for ids in output[:, prompts["input_ids"].shape[1] :]:
            text = tokenizer.decode(ids, skip_special_tokens=True)
            found.append({"text": text, "is_ended": stop in ids.tolist()})
    return {"answers": found}


def judge_padded(peer: Peer) -> dict[str, Any]:
    """The application's own pre-flight on the rows of that script."""
    tokenizer = AutoTokenizer.from_pretrained(peer.base)
    rows = read_rows(peer.dataset, "train")
    prompts = [render_prompt(tokenizer, row, {}) for row in rows]
    padded = pad_rows(rows, tokenizer, peer.recipe.max_length)
    base = Base("base", peer.base)
    facts = describe_tokenizer(tokenizer, base, (tokenizer.eos_token_id,))
    encoded = [
        EncodedRow(row["input_ids"], row["labels"], prompt)
        for row, prompt in zip(padded, prompts, strict=True)
    ]
    first = padded[: peer.recipe.effective_batch_size or 16]
    batch = PaddedBatch(first["input_ids"], first["labels"], first["attention_mask"])
    found = check_tokenizer(facts) + check_rows(encoded, facts) + check_batch(batch, facts)
    return {"findings": [asdict(item) for item in found]}


def main() -> None:
    """Do what the order says; the last line is the figures."""
    peer = read_order(Path(sys.argv[1]))
    work: dict[str, Any] = {"evaluate": evaluate, "answers": answer}
    work["judge_padded"] = judge_padded
    print(json.dumps(work.get(peer.kind, train)(peer)))


if __name__ == "__main__":
    main()
