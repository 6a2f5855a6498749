"""Merge an adapter into its base: a full model with the base's own config, tokenizer, generation
config and chat template, proven to say what base and adapter say.

`python -m finetune.merge --base DIR --adapter DIR --target DIR [--gguf]`, as a process of its own:
it imports torch. The target appears whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from chatbot.prompts import PROBE_MESSAGES
from finetune.adapter_checks import AdapterError, check_adapter
from finetune.job import write_json

REPORT_FILE: Final = "merge.json"
_CONVERTER: Final = "convert_hf_to_gguf.py"
_CLOSE: Final = 0.05  # of the largest logit; half precision rounds the merged weights
_NOT_COPIED: Final = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.gguf", ".*")


class MergeError(RuntimeError):
    """A merge that must not be used. `code` is stable: target_exists, bad_adapter, differs,
    no_converter, converter_failed. The message is a sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class MergeReport:
    """What came of it; differences are the largest of any logit over the probe."""

    path: str
    largest_difference: float
    largest_logit: float
    eos_token: str
    gguf: str | None = None


def merge_adapter(base_dir: Path, adapter_dir: Path, target: Path) -> MergeReport:
    """Merge, write, load again, compare; then move into place."""
    if target.exists():
        raise MergeError("target_exists", f"{target} exists already. Choose another folder.")
    try:
        check_adapter(adapter_dir, base_dir, max_lora_rank=512)
    except AdapterError as error:
        raise MergeError("bad_adapter", f"The adapter cannot be merged. {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".merging-{uuid.uuid4().hex[:8]}")
    try:
        expected = _merge_into(base_dir, adapter_dir, building)
        _copy_own_files(base_dir, building)
        report = _compare(base_dir, building, expected)
        write_json(building / REPORT_FILE, asdict(report))
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return MergeReport(**{**asdict(report), "path": str(target)})


def _merge_into(base_dir: Path, adapter_dir: Path, building: Path) -> Any:
    """Write the merged weights; returns the logits of base and adapter on the probe."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(str(base_dir), dtype="auto")
    model = PeftModel.from_pretrained(base, str(adapter_dir)).eval()
    expected = _probe(model, base_dir)
    merged = model.merge_and_unload(safe_merge=True)  # raises on values that are no numbers
    merged.save_pretrained(str(building))
    return expected


def _copy_own_files(base_dir: Path, building: Path) -> None:
    """Everything but the weights comes from the base, byte for byte: what a library writes anew
    has cost a team its end token and its chat template.
    """
    for path in building.iterdir():
        if path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
            path.unlink()
    weights = {item for pattern in _NOT_COPIED for item in base_dir.glob(pattern)}
    for path in sorted(base_dir.iterdir()):
        if path.is_file() and path not in weights:
            shutil.copyfile(path, building / path.name)


def _probe(model: Any, folder: Path) -> Any:
    """Logits on the fixed text that also proves adapters in serving."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    ids = tokenizer.apply_chat_template(
        list(PROBE_MESSAGES), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    with torch.inference_mode():
        return model(input_ids=ids).logits.float()


def _compare(base_dir: Path, building: Path, expected: Any) -> MergeReport:
    """Load the written folder as a stranger would, and compare."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(building), dtype="auto").eval()
    tokenizer = AutoTokenizer.from_pretrained(str(building))
    base = AutoTokenizer.from_pretrained(str(base_dir))
    if (tokenizer.eos_token, tokenizer.chat_template) != (base.eos_token, base.chat_template):
        raise MergeError("differs", "The merged model's end token or template is not the base's.")
    difference = float((_probe(model, building) - expected).abs().max())
    largest = float(expected.abs().max())
    if not difference <= _CLOSE * largest:
        raise MergeError(
            "differs",
            f"The merged model's logits differ from base and adapter by {difference:.3f} "
            f"(the largest is {largest:.1f}). Nothing was written.",
        )
    return MergeReport(str(building), difference, largest, str(tokenizer.eos_token))


def find_converter() -> Path | None:
    """llama.cpp's converter: in LLAMA_CPP_DIR or on the PATH."""
    folder = os.environ.get("LLAMA_CPP_DIR")
    if folder and (Path(folder) / _CONVERTER).is_file():
        return Path(folder) / _CONVERTER
    found = shutil.which(_CONVERTER)
    return Path(found) if found else None


def require_converter() -> Path:
    """llama.cpp's converter; raises no_converter, so that it can be said before any work."""
    converter = find_converter()
    if converter is None:
        raise MergeError(
            "no_converter",
            f"GGUF needs llama.cpp's {_CONVERTER}. Clone llama.cpp and set LLAMA_CPP_DIR to it.",
        )
    return converter


def convert_to_gguf(model_dir: Path) -> Path:
    """model.gguf beside the merged weights, by llama.cpp's own converter."""
    converter = require_converter()
    target = model_dir / "model.gguf"
    command = [sys.executable, str(converter), str(model_dir), "--outfile", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not target.is_file():
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MergeError("converter_failed", f"llama.cpp's converter failed: {last[:300]}")
    return target


def merge_in_own_process(
    base_dir: Path, adapter_dir: Path, target: Path, *, gguf: bool = False
) -> MergeReport:
    """merge_adapter() without importing torch here; raises its MergeError."""
    command = [sys.executable, "-m", "finetune.merge", "--base", str(base_dir)]
    command += ["--adapter", str(adapter_dir), "--target", str(target)]
    command += ["--gguf"] if gguf else []
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        answer = json.loads(last)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MergeError("differs", f"Merging failed: {reason[:300]}") from None
    if "error" in answer:
        raise MergeError(answer["code"], answer["error"])
    return MergeReport(**answer)


def main(argv: Sequence[str] | None = None) -> int:
    """Merge; the last line is the report, or {"code", "error"}."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--base", "--adapter", "--target"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--gguf", action="store_true")
    args = parser.parse_args(argv)
    try:
        if args.gguf:
            require_converter()
        report = merge_adapter(args.base.resolve(), args.adapter.resolve(), args.target.resolve())
        gguf = str(convert_to_gguf(Path(report.path))) if args.gguf else None
    except MergeError as error:
        print(json.dumps({"code": error.code, "error": str(error)}))
        return 1
    print(json.dumps({**asdict(report), "gguf": gguf}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
