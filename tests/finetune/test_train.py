"""The real trainer on tiny random models of the architectures that people bring."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from finetune.adapter_checks import check_adapter
from finetune.checkpoints import is_whole
from finetune.job import (
    ADAPTER_DIR,
    ALIVE_FILE,
    CHECKPOINTS_DIR,
    EVENTS_FILE,
    METRICS_FILE,
    SAMPLES_FILE,
)
from finetune.preflight import PreflightRefused
from finetune.run_files import read_json, read_lines
from finetune.run_process import make_environment
from tests.finetune.training_jobs import SHORT, cut, make_job, run, write_dataset
from tests.tiny_models import KINDS, Kind, build_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, not of this project
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_architecture_trains_and_leaves_an_adapter_that_serves(
    kind: Kind, tmp_path: Path
) -> None:
    run_dir = make_job(tmp_path, build_model(tmp_path / "base", kind))
    result = run(run_dir)
    assert (result["steps"], result["total_steps"]) == (6, 6)
    assert result["eval_loss"] < result["base_eval_loss"]
    base_path = Path(json.loads((run_dir / "recipe.json").read_text())["base"]["path"])
    facts = check_adapter(run_dir / ADAPTER_DIR, base_path, 64)
    assert (facts.r, facts.num_tensors) == (4, 28)
    assert {item.name for item in (run_dir / ADAPTER_DIR).iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_whole_training_in_half_numbers_as_a_card_does_it(
    quantization: Literal["none", "nf4"],
    llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the CPU the product trains in fp32; here it is told that it has the numbers of a card:
    autocast, shared adapter inputs, rows without padding, and the proof at the end.
    """
    from finetune import training_setup, training_stage
    from finetune.acceleration import Acceleration
    from finetune.base_loading import Hardware

    hardware = Hardware("cpu", "bf16", quantization)
    monkeypatch.setattr(training_setup, "choose_hardware", lambda *_: hardware)
    flat = Acceleration(varlen=True)
    monkeypatch.setattr(training_stage, "choose_acceleration", lambda *_, **__: flat)
    run_dir = make_job(tmp_path, llama, replace(SHORT, quantization=quantization))
    result = run(run_dir)
    assert result["eval_loss"] < result["base_eval_loss"]
    assert result["probe_logprob_diff"] > 0
    assert check_adapter(run_dir / ADAPTER_DIR, llama, 64).r == 4
    kinds = [line.get("code") for line in read_lines(run_dir / EVENTS_FILE)]
    assert "padded" not in kinds  # the kernel without padding gave the same loss


def test_what_is_shown_while_it_trains_is_all_there(llama: Path, tmp_path: Path) -> None:
    run_dir = make_job(tmp_path, llama)
    result = run(run_dir)
    metrics = read_lines(run_dir / METRICS_FILE)
    losses = [line for line in metrics if "loss" in line]
    assert [line["step"] for line in losses] == [1, 2, 3, 4, 5, 6]
    assert all(line["tokens_per_s"] > 0 and line["memory_mb"] > 0 for line in losses)
    assert [line["step"] for line in metrics if "eval_loss" in line] == [0, 3, 6]
    kinds = [line["kind"] for line in read_lines(run_dir / EVENTS_FILE)]
    assert [kind for kind in kinds if kind not in ("reason", "evaluated")] == [
        "memory",
        "loading",
        "preflight",
        "training",
        "saving",
    ]
    assert [line["step"] for line in read_lines(run_dir / SAMPLES_FILE)] == [3, 3, 6, 6]
    assert (run_dir / ALIVE_FILE).exists()  # the sign of life of each micro-batch
    figures = result["preflight"]["figures"]
    assert 0.2 < figures["supervised_share"] < 0.9
    assert result["adapter"]["base_model"] == llama.name
    config = json.loads((run_dir / ADAPTER_DIR / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == llama.name


def test_only_the_answer_and_its_end_are_learnt(llama: Path, tmp_path: Path) -> None:
    """The trainer's own loss equals the loss on the answers' tokens, computed by hand."""
    import torch

    from finetune.base_loading import load_model, load_tokenizer
    from finetune.job import read_job
    from finetune.sampled_answers import render_prompt
    from finetune.training_rows import read_rows

    run_dir = make_job(tmp_path, llama)
    result = run(run_dir)
    job = read_job(run_dir)
    tokenizer, rows = load_tokenizer(job.base), read_rows(Path(job.dataset_dir), "validation")
    model = load_model(job.base, _cpu())
    total = count = 0.0
    for row in rows:
        prompt = render_prompt(tokenizer, row, {})
        answer = [
            *tokenizer(row.completion, add_special_tokens=False)["input_ids"],
            tokenizer.eos_token_id,
        ]
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            logits = model(ids).logits[0, len(prompt) - 1 : -1]
        total += float(
            torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :], reduction="sum")
        )
        count += len(answer)
    assert result["base_eval_loss"] == pytest.approx(total / count, rel=1e-3)


def _cpu() -> Any:
    from finetune.base_loading import Hardware

    return Hardware("cpu", "fp32")


def test_the_same_seed_gives_the_same_adapter(llama: Path, tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        run_dir = make_job(tmp_path / name, llama)
        run(run_dir)
        weights.append((run_dir / ADAPTER_DIR / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_resumed_run_has_the_losses_of_one_that_was_never_interrupted(
    llama: Path, tmp_path: Path
) -> None:
    whole = make_job(tmp_path / "whole", llama)
    run(whole)
    broken = make_job(tmp_path / "broken", llama)
    run(broken)
    for path in (broken / CHECKPOINTS_DIR).glob("checkpoint-6"):
        path.rename(broken / "gone")
    (broken / METRICS_FILE).unlink()
    run(broken)
    resumed = {line["step"]: line["loss"] for line in losses_of(broken)}
    expected = {line["step"]: line["loss"] for line in losses_of(whole)}
    assert sorted(resumed) == [4, 5, 6]
    assert all(resumed[step] == pytest.approx(expected[step], rel=1e-4) for step in resumed)
    assert "resumed" in [line["kind"] for line in read_lines(broken / EVENTS_FILE)]


def test_a_checkpoint_that_was_cut_off_is_passed_over(llama: Path, tmp_path: Path) -> None:
    run_dir = make_job(tmp_path, llama)
    run(run_dir)
    checkpoints = run_dir / CHECKPOINTS_DIR
    cut(checkpoints / "checkpoint-6" / "optimizer.pt")
    (run_dir / METRICS_FILE).unlink()
    (run_dir / EVENTS_FILE).unlink()
    result = run(run_dir)
    assert result["steps"] == 6
    assert [line["step"] for line in losses_of(run_dir)] == [4, 5, 6]
    events = {line["kind"]: line for line in read_lines(run_dir / EVENTS_FILE)}
    assert events["broken_checkpoint"]["name"] == "checkpoint-6"
    assert events["resumed"]["step"] == 3
    assert is_whole(checkpoints / "checkpoint-6")  # written again


def losses_of(run_dir: Path) -> list[dict[str, Any]]:
    return [line for line in read_lines(run_dir / METRICS_FILE) if "loss" in line]


def test_without_validation_rows_it_trains_all_the_same(llama: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", num_validation=0)
    result = run(make_job(tmp_path, llama))
    assert (result["steps"], result["eval_loss"]) == (6, None)


def test_a_loss_that_is_no_number_is_stopped_with_its_reason(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][:] = np.nan
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    run_dir = make_job(tmp_path, base)
    with pytest.raises(RuntimeError, match="not a number") as caught:
        run(run_dir)
    assert getattr(caught.value, "code", "") == "not_a_number"
    assert not (run_dir / ADAPTER_DIR).exists()


def test_a_base_without_a_chat_template_is_refused_before_step_1(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base")
    path = base / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("chat_template")
    path.write_text(json.dumps(config))
    with pytest.raises(PreflightRefused) as caught:
        run(make_job(tmp_path, base))
    assert caught.value.code == "no_chat_template"


def test_a_base_whose_end_token_is_a_space_is_refused_before_step_1(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base")
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": " "}))
    run_dir = make_job(tmp_path, base)
    with pytest.raises(PreflightRefused) as caught:
        run(run_dir)
    assert caught.value.code == "broken_eos"
    assert not (run_dir / METRICS_FILE).exists()


def test_the_process_leaves_its_result_its_log_and_what_wandb_keeps_offline(
    llama: Path, tmp_path: Path
) -> None:
    run_dir = make_job(tmp_path, llama, replace(SHORT, tracking="offline"))
    done = subprocess.run(
        [sys.executable, "-m", "finetune.train", "--run-dir", str(run_dir), "--niceness", "5"],
        env=make_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = read_json(run_dir / "result.json")
    assert result is not None
    assert result["state"] == "done"
    assert math.isfinite(result["eval_loss"])
    assert result["start_to_step1_s"] > 0
    [kept] = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    written = kept.read_bytes()
    for name in (b"adapter-r1", b"adapter_model.safetensors", b"train.jsonl", b"eval/loss"):
        assert name in written
