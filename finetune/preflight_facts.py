"""Reads back from a built trainer what the pre-flight judges. Imports nothing heavy itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from finetune.base_loading import describe_tokenizer, find_stop_ids
from finetune.preflight import (
    IGNORED,
    Course,
    EncodedRow,
    ModelFacts,
    PaddedBatch,
    PreflightReport,
    TokenizerFacts,
    check_all,
    check_batch,
    check_course,
    check_model,
    check_rows,
    check_tokenizer,
    describe_rows,
)
from finetune.sampled_answers import render_prompt

if TYPE_CHECKING:
    from finetune.training_setup import Setup

_MOST_ROWS: Final = 256  # read back; a mistake of the set-up shows in every row


def _read_facts(trainer: Any, setup: Setup) -> tuple[TokenizerFacts, ModelFacts]:
    model = trainer.accelerator.unwrap_model(trainer.model)
    tokenizer = setup.tokenizer
    facts = describe_tokenizer(tokenizer, setup.job.base, find_stop_ids(tokenizer, model))
    shape = ModelFacts(
        embedding_rows=int(model.get_input_embeddings().weight.shape[0]),
        num_parameters=sum(item.numel() for item in model.parameters()),
        num_trainable=sum(item.numel() for item in model.parameters() if item.requires_grad),
    )
    return facts, shape


def inspect_preferences(trainer: Any, setup: Setup) -> PreflightReport:
    """Judge the answers that are to become more likely; raises PreflightRefused."""
    facts, shape = _read_facts(trainer, setup)
    rows = []
    for item in trainer.train_dataset.select(range(min(len(trainer.train_dataset), _MOST_ROWS))):
        prompt, answer = item["prompt_ids"], item.get("chosen_ids") or item["completion_ids"]
        rows.append(EncodedRow(prompt + answer, [IGNORED] * len(prompt) + answer, prompt))
    return check_all(
        check_tokenizer(facts),
        check_model(shape, facts),
        check_rows(rows, facts),
        figures={**describe_rows(rows), **_figures(setup, facts, shape)},
    )


def inspect(trainer: Any, setup: Setup) -> PreflightReport:
    """Judge rows, batch, tokenizer and model; raises PreflightRefused."""
    facts, shape = _read_facts(trainer, setup)
    rows = list(_read_back(trainer, setup))
    batch = _first_batch(trainer, setup.schedule.per_device_train_batch_size)
    return check_all(
        check_tokenizer(facts),
        check_model(shape, facts),
        check_course(_describe_course(setup)),
        check_rows(rows, facts),
        check_batch(batch, facts),
        figures={**describe_rows(rows), **_figures(setup, facts, shape)},
    )


def _describe_course(setup: Setup) -> Course:
    return Course(
        total_steps=setup.schedule.total_steps,
        epochs=setup.schedule.epochs,
        num_rows=len(setup.train.rows),
        num_left_out=setup.train.num_left_out,
        longest_row=setup.train.longest,
        max_length=setup.recipe.max_length,
    )


def _figures(setup: Setup, facts: TokenizerFacts, shape: ModelFacts) -> dict[str, Any]:
    return {
        "num_train": len(setup.train.rows),
        "num_validation": len(setup.validation.rows),
        "rows_left_out": setup.train.num_left_out,
        "vocabulary": facts.vocab_size,
        "eos_token": facts.eos_token,
        "pad_token": facts.pad_token,
        "parameters": shape.num_parameters,
        "trainable_parameters": shape.num_trainable,
    }


def _read_back(trainer: Any, setup: Setup) -> Iterator[EncodedRow]:
    """Rows as the trainer holds them; a packed sequence is taken apart again."""
    dataset = trainer.train_dataset
    for number in range(min(len(dataset), _MOST_ROWS)):
        item = dataset[number]
        ids, labels = list(item["input_ids"]), list(item["labels"])
        if "seq_lengths" not in item:
            prompt = render_prompt(setup.tokenizer, setup.train.rows[number], setup.template_kwargs)
            yield EncodedRow(ids, labels, prompt)
            continue
        at = 0
        for length in item["seq_lengths"]:
            yield EncodedRow(ids[at : at + length], labels[at : at + length])
            at += length


def _first_batch(trainer: Any, count: int) -> PaddedBatch:
    names = ("input_ids", "labels", "seq_lengths")
    items = [trainer.train_dataset[n] for n in range(min(count, len(trainer.train_dataset)))]
    batch = trainer.data_collator([{k: i[k] for k in names if k in i} for i in items])
    mask = batch.get("attention_mask")
    return PaddedBatch(
        batch["input_ids"].tolist(),
        batch["labels"].tolist(),
        mask.tolist() if mask is not None else None,
    )
