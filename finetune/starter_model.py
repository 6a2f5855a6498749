"""Make the starter model: own tokenizer and a small Llama, from scratch, on the project's corpus.

`python -m finetune.starter_model` writes assets/starter-model/. Fixed seed; about 20 minutes on
two cores. Imports torch and transformers: run it as its own process.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from chatbot.prompts import Message
from finetune.starter_corpus import Corpus, load_catalog

OUTPUT_DIR: Final = Path(__file__).parents[1] / "assets" / "starter-model"
SPECIAL_TOKENS: Final = (
    "<|pad|>",
    "<|begin|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
)
IGNORE: Final = -100

# Every message is <|role|>content<|end|>; the model's end of turn is the eos token.
CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Plan:
    """What is built: sizes of the model, amount of text, learning rate."""

    vocab_size: int = 6144
    hidden_size: int = 256
    num_layers: int = 6
    num_heads: int = 4
    intermediate_size: int = 704
    context: int = 1024  # tokens
    num_documents: int = 24_000
    batch_tokens: int = 3072
    learning_rate: float = 2e-3
    warmup: float = 0.04  # share of the steps
    weight_decay: float = 0.05
    seed: int = 20_261


def train_tokenizer(plan: Plan) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the corpus: any text can be encoded, the domain's words are short."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=plan.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    documents = Corpus(plan.seed + 1).documents(4000)
    bpe.train_from_iterator((m["content"] for d in documents for m in d), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        bos_token="<|begin|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=plan.context,
        clean_up_tokenization_spaces=False,
    )


def encode(
    document: list[Message], tokenizer: PreTrainedTokenizerFast
) -> tuple[list[int], list[int]]:
    """Token ids and labels of one conversation; only the last answer and its end are learnt."""
    prompt = tokenizer.apply_chat_template(
        document[:-1], tokenize=False, add_generation_prompt=True
    )
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    answer_ids = tokenizer.encode(document[-1]["content"], add_special_tokens=False)
    answer_ids.append(int(tokenizer.eos_token_id))
    return prompt_ids + answer_ids, [IGNORE] * len(prompt_ids) + answer_ids


def make_batches(
    rows: list[tuple[list[int], list[int]]], batch_tokens: int, seed: int
) -> list[list[tuple[list[int], list[int]]]]:
    """Rows of like length together, about batch_tokens tokens each, in shuffled order."""
    rows = sorted(rows, key=lambda row: len(row[0]))
    batches: list[list[tuple[list[int], list[int]]]] = [[]]
    for row in rows:
        if batches[-1] and (len(batches[-1]) + 1) * len(row[0]) > batch_tokens:
            batches.append([])
        batches[-1].append(row)
    random.Random(seed).shuffle(batches)
    return batches


def collate(batch: list[tuple[list[int], list[int]]], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded tensors of shape (rows, longest)."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.full((len(batch), longest), pad_id)
    labels = torch.full((len(batch), longest), IGNORE)
    mask = torch.zeros((len(batch), longest), dtype=torch.long)
    for number, (row_ids, row_labels) in enumerate(batch):
        ids[number, : len(row_ids)] = torch.tensor(row_ids)
        labels[number, : len(row_ids)] = torch.tensor(row_labels)
        mask[number, : len(row_ids)] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def build_model(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A randomly initialised Llama of the plan's size, embeddings tied."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden_size,
        num_hidden_layers=plan.num_layers,
        num_attention_heads=plan.num_heads,
        num_key_value_heads=plan.num_heads,
        intermediate_size=plan.intermediate_size,
        max_position_embeddings=plan.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def get_rate(step: int, num_steps: int, plan: Plan) -> float:
    """Linear warm-up, then cosine down to a twentieth."""
    warmup = max(1, int(plan.warmup * num_steps))
    if step < warmup:
        return plan.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - warmup)
    return plan.learning_rate * (0.05 + 0.475 * (1 + math.cos(math.pi * progress)))


def get_loss(model: LlamaForCausalLM, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy over the answers' tokens; only their positions go through the head."""
    targets = batch["labels"][:, 1:]
    learnt = targets != IGNORE
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][learnt])
    return torch.nn.functional.cross_entropy(logits.float(), targets[learnt])


def train(
    model: LlamaForCausalLM, batches: list[list[tuple[list[int], list[int]]]], plan: Plan
) -> Iterator[tuple[int, float]]:
    """One pass over the batches; yields (step, loss)."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.95), weight_decay=plan.weight_decay
    )
    model.train()
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = get_rate(step, len(batches), plan)
        loss = get_loss(model, collate(batch, int(model.config.pad_token_id)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield step, float(loss.detach())


def build(plan: Plan, output_dir: Path) -> dict[str, Any]:
    """Tokenizer, corpus, model, training, files; returns the figures of the training."""
    torch.manual_seed(plan.seed)
    started = time.monotonic()
    tokenizer = train_tokenizer(plan)
    rows = [
        encode(document, tokenizer) for document in Corpus(plan.seed).documents(plan.num_documents)
    ]
    rows = [row for row in rows if len(row[0]) <= plan.context]
    batches = make_batches(rows, plan.batch_tokens, plan.seed)
    model = build_model(plan, tokenizer)
    num_tokens = sum(len(ids) for ids, _ in rows)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{len(load_catalog())} themes, {len(rows)} rows, {num_tokens} tokens, "
        f"{len(batches)} steps, {size} parameters, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    losses = []
    for step, loss in train(model, batches, plan):
        losses.append(loss)
        if step % 25 == 0 or step == len(batches) - 1:
            mean = sum(losses[-50:]) / len(losses[-50:])
            print(f"step {step} loss {mean:.4f} {time.monotonic() - started:.0f} s", flush=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.to(torch.bfloat16).save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    figures = {
        "plan": asdict(plan),
        "parameters": size,
        "tokens": num_tokens,
        "steps": len(batches),
        "final_loss": round(sum(losses[-50:]) / len(losses[-50:]), 4),
        "torch": torch.__version__,
    }
    (output_dir / "training.json").write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the starter model from the catalogue.")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT_DIR, help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--documents",
        type=int,
        default=Plan.num_documents,
        help="conversations to train on (default: %(default)s)",
    )
    arguments = parser.parse_args()
    print(json.dumps(build(Plan(num_documents=arguments.documents), arguments.output)))


if __name__ == "__main__":
    main()
