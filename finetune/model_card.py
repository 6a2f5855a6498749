"""The card of an exported model: what it is, from what, how it was measured. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TEMPLATE: Final = """---
base_model: {base_model}
library_name: {library}
tags: [{tags}]
---

# {name}

{what} of `{base_model}` that {task}. Made by Ecoloop from examples that people accepted one by one.

## Use
Send the messages of the training prompt with the model's own chat template{use}

## Training
{training}

## Measured on held-out cases
{metrics}

## Limits
{limits} Check what it says about costs, health and law.
"""
_RECOMMENDS: Final = {
    "tags": "lora, eco-challenges, ko",
    "task": "recommends three small eco-challenges as one JSON object, in Korean\nand English",
    "use": """; ask for JSON by a
schema where the server can. The answer is
`{"recommend": str, "challenges": [{"title": str, "description": str}, x3]}`.""",
    "limits": "It knows eco-challenges and little else.",
}
_TALKS: Final = {
    "tags": "lora",
    "task": "answers in plain text",
    "use": ". The answer is plain text.",
    "limits": "It knows what its examples showed it, and little else.",
}


def write_card(manifest: Mapping[str, Any], *, is_merged: bool) -> str:
    """The README.md of an adapter's manifest, merged into its base or on its own."""
    is_text = manifest.get("report", {}).get("answer_format") == "text"
    return _TEMPLATE.format(
        **(_TALKS if is_text else _RECOMMENDS),
        base_model=manifest["base_model"],
        library="transformers" if is_merged else "peft",
        name=f"ecoloop-{manifest['version']}",
        what="A version" if is_merged else "A LoRA adapter",
        training=_training(manifest),
        metrics=_metrics(manifest.get("report", {})),
    )


def _training(manifest: Mapping[str, Any]) -> str:
    recipe, result = manifest.get("recipe", {}), manifest.get("result", {})
    trained = result.get("recipe", recipe)
    facts = {
        "recipe": trained.get("name"),
        "r": trained.get("r"),
        "lora_alpha": trained.get("lora_alpha"),
        "learning_rate": trained.get("learning_rate"),
        "optimizer steps": result.get("steps"),
        "validation loss": result.get("eval_loss"),
        "validation loss of the base": result.get("base_eval_loss"),
        "dataset": manifest.get("dataset_id"),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None)


def _metrics(report: Mapping[str, Any]) -> str:
    rows = [
        f"| {item['name']} | {item['value']:.4g} | {item['count']} |"
        for item in report.get("metrics", ())
        if item.get("value") is not None
    ]
    if not rows:
        return "Nothing was measured."
    return "\n".join(["| figure | value | cases |", "|---|---|---|", *rows])
