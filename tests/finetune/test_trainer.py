"""What this project adds to TRL's trainer."""

import math
from pathlib import Path
from typing import Any

import pytest

from finetune.job import ALIVE_FILE
from tests.finetune.tiny_trainers import LENGTHS, build

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, not of this project
]


@pytest.mark.parametrize("is_recomputed", [True, False])
def test_the_rehearsal_holds_what_the_training_will_hold(
    is_recomputed: bool, tmp_path: Path
) -> None:
    trainer = build(tmp_path, gradient_checkpointing=is_recomputed)
    seen: list[bool] = []
    mlp = next(item for name, item in trainer.model.named_modules() if name.endswith("0.mlp"))
    mlp.register_forward_pre_hook(lambda *_: seen.append(True))
    trainer.rehearse()
    assert len(seen) == (2 if is_recomputed else 1)  # again in the backward pass
    assert all(item.grad is None for item in trainer.model.parameters())


def test_the_validation_loss_is_the_mean_over_tokens_however_rows_are_put_together(
    tmp_path: Path,
) -> None:
    import torch

    trainer = build(tmp_path)
    trainer.args.per_device_eval_batch_size = 3  # the last batch has one row
    rows = [trainer.train_dataset[n] for n in range(len(LENGTHS))]
    total = count = 0.0
    trainer.model.eval()
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        with torch.no_grad():
            logits = trainer.model(input_ids=ids).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum")
        total, count = total + float(loss), count + int((labels[1:] != -100).sum())
    assert trainer.prove_flat()
    losses = []
    for is_flat in (True, False):  # as on a card, as on the CPU
        trainer.data_collator.padding_free = is_flat
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses == pytest.approx([total / count] * 2, rel=1e-4)


def test_each_batch_of_an_evaluation_is_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow processor needs long for the first one, which comes before any step."""
    monkeypatch.setattr("finetune.run_report._MARK_EVERY_S", 0.0)
    trainer = build(tmp_path)
    trainer.args.per_device_eval_batch_size = 1
    mark, seen = tmp_path / ALIVE_FILE, []

    def take_mark(*_: object) -> None:
        seen.append(mark.exists())
        mark.unlink(missing_ok=True)

    trainer.model.register_forward_pre_hook(take_mark)
    trainer.evaluate()
    take_mark()
    assert seen == [False] + [True] * len(LENGTHS)


def test_what_an_attempt_took_is_forgotten_before_the_next(tmp_path: Path) -> None:
    from finetune.training_callback import forget_peak, peak_memory_mib

    forget_peak()
    held: Any = bytearray(200 * 2**20)
    held[:: 2**12] = b"x" * math.ceil(len(held) / 2**12)
    much = peak_memory_mib()
    del held
    forget_peak()
    assert peak_memory_mib() < much - 100


def test_adapters_that_share_their_input_keep_it_once_and_compute_the_same(tmp_path: Path) -> None:
    import torch

    from finetune.trainer import share_inputs

    trainer = build(tmp_path)
    for parameter in trainer.model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    inputs = trainer.data_collator([trainer.train_dataset[n] for n in range(4)])
    losses, kept = [], []
    for _ in range(2):
        seen: dict[int, int] = {}

        def keep(tensor: Any, seen: dict[int, int] = seen) -> Any:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            losses.append(trainer.compute_loss(trainer.model, inputs))
        kept.append(sum(seen.values()))
        share_inputs(trainer.model)
    assert torch.equal(*losses)
    assert kept[1] < 0.95 * kept[0]
