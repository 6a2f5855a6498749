"""Real answers of the model in training to a few validation prompts: a low loss with odd answers
is memorisation, and only reading them shows it. Imports torch where it works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from finetune.training_callback import Sampling
from finetune.training_rows import TrainingRow

_SPARE_TOKENS: Final = 32  # beyond the longest accepted answer, to see one that does not end


def pick_rows(rows: Sequence[TrainingRow], count: int) -> list[TrainingRow]:
    """Rows spread over the whole split, the same at every evaluation."""
    every = max(1, len(rows) // max(1, count))
    return list(rows[::every][:count])


def make_sampling(
    trainer: Any,
    tokenizer: Any,
    rows: Sequence[TrainingRow],
    template_kwargs: Mapping[str, Any],
    stop_ids: frozenset[int],
) -> Sampling | None:
    """How to answer these rows' prompts with the model in training; None without rows.

    None also where the model is sharded: one process alone cannot ask it.
    """
    if not rows or trainer.is_fsdp_enabled:
        return None
    prompts = [render_prompt(tokenizer, row, template_kwargs) for row in rows]
    expected = tokenizer([row.completion for row in rows], add_special_tokens=False)["input_ids"]
    longest = max(map(len, expected)) + _SPARE_TOKENS

    def answer() -> list[str]:
        texts: list[str] = []
        if trainer.is_world_process_zero():
            texts = _generate(trainer, tokenizer, prompts, (longest, sorted(stop_ids)))
        return _share(trainer, texts)

    shown = tuple(row.prompt[-1]["content"] for row in rows)
    return Sampling(answer, shown, tuple(row.completion for row in rows))


def _share(trainer: Any, texts: list[str]) -> list[str]:
    """What the first of several processes said; all must draw the same conclusions from it."""
    if trainer.accelerator.num_processes == 1:
        return texts
    from accelerate.utils import broadcast_object_list

    shared: list[list[str]] = broadcast_object_list([texts])
    return shared[0]


def render_prompt(
    tokenizer: Any, row: TrainingRow, template_kwargs: Mapping[str, Any]
) -> list[int]:
    """The prompt's token ids as serving sends them."""
    encoded = tokenizer.apply_chat_template(
        [dict(message) for message in row.prompt],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        **template_kwargs,
    )
    return list(encoded["input_ids"])


def _generate(
    trainer: Any, tokenizer: Any, prompts: Sequence[list[int]], limits: tuple[int, list[int]]
) -> list[str]:
    """Greedy answers, as many at once as a step takes rows: where the memory plan allows few, the
    cache of all prompts together would need more than training does.
    """
    at_once = max(1, trainer.args.per_device_train_batch_size)
    return [
        text
        for begin in range(0, len(prompts), at_once)
        for text in _answer_together(trainer, tokenizer, prompts[begin : begin + at_once], limits)
    ]


def _answer_together(
    trainer: Any, tokenizer: Any, prompts: Sequence[list[int]], limits: tuple[int, list[int]]
) -> list[str]:
    """Padded on the left."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), int(tokenizer.pad_token_id))
    mask = torch.zeros_like(ids)
    for number, prompt in enumerate(prompts):
        ids[number, longest - len(prompt) :] = torch.tensor(prompt)
        mask[number, longest - len(prompt) :] = 1
    was_training = model.training
    model.eval()
    with torch.no_grad(), trainer.accelerator.autocast():
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=limits[0],
            do_sample=False,
            use_cache=True,
            eos_token_id=limits[1],
            pad_token_id=int(tokenizer.pad_token_id),
        )
    model.train(was_training)
    return list(tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True))
