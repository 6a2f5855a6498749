"""Tokenizer and chat template of a base, as hashes: an adapter answers as it was trained only where
both are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetune.adapter_checks import AdapterError

_NAMES: Final = {"tokenizer_sha256": "tokenizer", "template_sha256": "chat template or end token"}


def hash_base_texts(base_dir: Path) -> dict[str, str]:
    """Of the files that decide how a conversation becomes tokens."""
    config = _read_config(base_dir / "tokenizer_config.json")
    template = base_dir / "chat_template.jinja"
    text = template.read_text(encoding="utf-8") if template.is_file() else ""
    spoken = [text, config.get("chat_template"), config.get("eos_token"), config.get("bos_token")]
    tokenizer = base_dir / "tokenizer.json"
    return {
        "tokenizer_sha256": _hash(tokenizer.read_bytes() if tokenizer.is_file() else b""),
        "template_sha256": _hash(json.dumps(spoken, sort_keys=True).encode()),
    }


def check_base_texts(trained: Mapping[str, Any], base_dir: Path) -> None:
    """Compare what a training noted with the base that serves; raises AdapterError."""
    now = hash_base_texts(base_dir)
    other = [_NAMES[key] for key, value in now.items() if trained.get(key, value) != value]
    if other:
        raise AdapterError(
            "other_tokenizer",
            f"The {' and the '.join(other)} of the base changed since the training began: the "
            "adapter would be asked in another way than it learnt. Restore the base's files, or "
            "train again.",
        )


def _read_config(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return value


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
