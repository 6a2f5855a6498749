"""Rows without padding between them, in the real trainer on the CPU."""

from pathlib import Path
from typing import Any

import pytest

from tests.finetune.tiny_trainers import build
from tests.tiny_models import Kind

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, not of this project
]


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3"])
def test_flat_rows_have_the_loss_and_the_gradient_of_padded_ones(
    kind: Kind, tmp_path: Path
) -> None:
    import torch

    trainer = build(tmp_path, kind)
    assert trainer.prove_flat()
    gradients = []
    for is_flat in (True, False):
        trainer.data_collator.padding_free = is_flat
        inputs = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
        assert ("cu_seq_lens_q" in inputs) is is_flat
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, inputs).backward()
        named = trainer.model.named_parameters()
        gradients.append({name: item.grad.clone() for name, item in named if item.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-6)


def fail(*_: object) -> None:
    raise RuntimeError("no kernel image is available for execution on the device")


@pytest.mark.parametrize("kernel", [lambda rows, *_: rows[0] * 3, fail])
def test_a_kernel_that_computes_something_else_is_found_and_not_used(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune import varlen

    monkeypatch.setattr(varlen, "_row_by_row", kernel)
    trainer = build(tmp_path, "llama")
    assert not trainer.prove_flat()
    inputs = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
    assert "attention_mask" in inputs
    assert not varlen.is_varlen(trainer.model)


def test_what_fp16_trains_is_kept_in_full_numbers(tmp_path: Path) -> None:
    import torch

    from finetune.trainer import keep_full_numbers

    trainer = build(tmp_path, "llama")
    trained = [item for item in trainer.model.parameters() if item.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.to(torch.bfloat16)  # as TRL does on a 4-bit base
    keep_full_numbers(trainer.model)
    assert {parameter.dtype for parameter in trained} == {torch.float32}


def test_a_base_in_four_bits_whose_numbers_are_full_trains_full_ones(tmp_path: Path) -> None:
    """A Gemma on a card without bf16, which would only be emulated there."""
    import torch

    trainer = build(tmp_path, quantization="nf4")
    trained = [item for item in trainer.model.parameters() if item.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_keys_of_their_own_for_each_head_change_nothing(kind: Kind, tmp_path: Path) -> None:
    """What older cards need; for padded rows, and for a batch that needs no mask."""
    import torch

    from finetune.varlen import use_repeated_keys

    trainer = build(tmp_path, kind)
    trainer.model.eval().set_attn_implementation("sdpa")
    trainer.data_collator.padding_free = False
    padded = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
    alone = trainer.data_collator([trainer.train_dataset[1]])
    batches = [
        {name: batch[name] for name in ("input_ids", "attention_mask")} for batch in (padded, alone)
    ]
    with torch.no_grad():
        usual = [trainer.model(**batch).logits for batch in batches]
        use_repeated_keys(trainer.model)
        repeated = [trainer.model(**batch).logits for batch in batches]
    is_seen = padded["attention_mask"].bool()
    torch.testing.assert_close(repeated[0][is_seen], usual[0][is_seen])
    torch.testing.assert_close(repeated[1], usual[1])
