"""Preferences on top of imitation: one run, one adapter at the end. Several processes: one loss."""

import json
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune.adapter_checks import check_adapter
from finetune.job import ADAPTER_DIR, EVENTS_FILE, METRICS_FILE, PREFERENCES_FILE, SFT_DIR
from finetune.run_files import read_json, read_lines
from finetune.run_process import make_environment
from tests.finetune.training_jobs import (
    SHORT,
    make_answer,
    make_job,
    run,
    write_pairs,
    write_thumbs,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, not of this project
]


def test_pairs_are_learnt_on_top_of_imitation(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SHORT, kind="dpo", preference_learning_rate=5e-3)
    run_dir = make_job(tmp_path, llama, recipe)
    write_pairs(run_dir)
    beside = count_bases_beside(monkeypatch)
    result = run(run_dir)
    assert beside == [0, 0]  # the memory plan has room for one
    assert result["sft"]["steps"] == 6
    margins = [line for line in read_lines(run_dir / METRICS_FILE) if "reward_margin" in line]
    assert margins[-1]["reward_margin"] > 0
    assert margins[-1]["step"] == margins[-1]["total_steps"] == 6 + result["steps"]
    assert check_adapter(run_dir / ADAPTER_DIR, llama, 64).r == 4
    assert sorted(path.name for path in (run_dir / ADAPTER_DIR).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    first, last = (run_dir / name / "adapter_model.safetensors" for name in (SFT_DIR, ADAPTER_DIR))
    assert first.read_bytes() != last.read_bytes()


def count_bases_beside(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """At each load of a base, how many loaded before are still there."""
    from finetune import training_stage

    loaded: list[weakref.ref[Any]] = []
    counts: list[int] = []
    load_model = training_stage.load_model

    def load(*args: Any) -> Any:
        counts.append(sum(item() is not None for item in loaded))
        model = load_model(*args)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(training_stage, "load_model", load)
    return counts


def test_thumbs_are_learnt_on_top_of_imitation(llama: Path, tmp_path: Path) -> None:
    recipe = replace(SHORT, kind="kto", per_device_train_batch_size=1)
    run_dir = make_job(tmp_path, llama, recipe)
    write_thumbs(run_dir)
    path = run_dir / PREFERENCES_FILE
    *_, last = path.read_text().splitlines()
    row = json.loads(last)
    row["completion"][0]["content"] = make_answer(7).replace("7", "칠" * 900)
    with path.open("a") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    result = run(run_dir)
    assert result["sft"]["steps"] == 6
    assert result["steps"] >= 1
    # One at a time by imitation, but of two answers one is needed to compare the other with.
    assert result["sft"]["schedule"]["per_device_train_batch_size"] == 1
    assert result["schedule"]["per_device_train_batch_size"] == 2
    assert result["memory"]["load"]["rows_at_once"] == 2
    reasons = [line for line in read_lines(run_dir / EVENTS_FILE) if line["kind"] == "reason"]
    assert [line["left"] for line in reasons if line["code"] == "preferences_left_out"] == [1]
    assert check_adapter(run_dir / ADAPTER_DIR, llama, 64).r == 4
    kinds = [line["kind"] for line in read_lines(run_dir / EVENTS_FILE)]
    assert kinds.count("preflight") == 2


def test_a_run_that_was_killed_between_the_stages_does_not_imitate_again(
    llama: Path, tmp_path: Path
) -> None:
    run_dir = make_job(tmp_path, llama, replace(SHORT, kind="dpo"))
    write_pairs(run_dir)
    run(run_dir)
    (run_dir / METRICS_FILE).unlink()
    for path in (run_dir / "checkpoints" / "preferences").iterdir():
        path.rename(tmp_path / path.name)
    result = run(run_dir)
    assert result["sft"] == {}
    assert min(line["step"] for line in read_lines(run_dir / METRICS_FILE)) >= 6


def test_a_base_in_four_bits_trains_and_leaves_a_usual_adapter(llama: Path, tmp_path: Path) -> None:
    from finetune.base_loading import Hardware, load_model
    from finetune.job import read_job

    run_dir = make_job(tmp_path, llama, replace(SHORT, quantization="nf4"))
    result = run(run_dir)
    assert result["hardware"]["quantization"] == "nf4"
    assert result["eval_loss"] < result["base_eval_loss"]
    assert check_adapter(run_dir / ADAPTER_DIR, llama, 64).num_tensors == 28
    model = load_model(read_job(run_dir).base, Hardware("cpu", "fp32", "nf4"))
    weight = model.model.layers[0].mlp.up_proj.weight
    assert (weight.quant_type, weight.quant_state.nested) == ("nf4", True)
    assert weight.numel() * 2 == 64 * 128  # two parameters in a byte


def test_two_processes_have_the_loss_of_one(llama: Path, tmp_path: Path) -> None:
    # All rows in every step, so that the order in which they are dealt out does not matter.
    recipe = replace(SHORT, effective_batch_size=12, lora_dropout=0.0)
    one, two = (make_job(tmp_path / name, llama, recipe) for name in ("one", "two"))
    run(one)
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]  # torchrun
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "finetune.train", "--run-dir", str(two)],
        env=make_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    together = read_json(two / "result.json")
    assert together is not None, done.stderr
    assert together["state"] == "done", together
    assert together["schedule"]["per_device_train_batch_size"] == 6
    for name in ("loss", "eval_loss"):
        alone = figures_of(one, name)
        assert figures_of(two, name) == pytest.approx(alone, rel=1e-4)
        assert len(alone) >= 3
    assert check_adapter(two / ADAPTER_DIR, llama, 64).r == 4


def figures_of(run_dir: Path, name: str) -> list[float]:
    """One figure over all steps, as written down while it trained."""
    return [line[name] for line in read_lines(run_dir / METRICS_FILE) if name in line]


def test_the_same_order_runs_under_accelerate(llama: Path, tmp_path: Path) -> None:
    run_dir = make_job(tmp_path, llama)
    launch = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "finetune.train", "--run-dir", str(run_dir)],
        env=make_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((run_dir / "result.json").read_text())["state"] == "done"


SHORT_OF_MEMORY = """
import resource, sys, pathlib
import psutil, torch
from finetune import training_stage
from finetune.run_report import RunReport
from finetune.train import train

torch.set_num_threads(1)
real = training_stage._train_once

def tight(setup, plan, callback, report):
    # Room for a few rows at once; the first attempt asks for more.
    rows = plan.schedule.per_device_train_batch_size
    limit = psutil.Process().memory_info().vms + int(sys.argv[2]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit if rows > 2 else resource.RLIM_INFINITY, -1))
    return real(setup, plan, callback, report)

training_stage._train_once = tight
run_dir = pathlib.Path(sys.argv[1])
result = train(run_dir, RunReport(run_dir))
print(result["memory"]["num_shortages"], result["schedule"]["per_device_train_batch_size"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_when_memory_runs_out_it_goes_on_with_half_the_rows(llama: Path, tmp_path: Path) -> None:
    run_dir = make_job(tmp_path, llama)
    script = tmp_path / "tight.py"
    script.write_text(SHORT_OF_MEMORY)
    done = subprocess.run(
        [sys.executable, str(script), str(run_dir), "40"],
        env={**make_environment(), "MALLOC_TOP_PAD_": "0", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["1", "2"]
    assert "out_of_memory" in [line["kind"] for line in read_lines(run_dir / EVENTS_FILE)]
    assert (run_dir / ADAPTER_DIR).is_dir()
