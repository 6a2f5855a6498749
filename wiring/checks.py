"""What an example must be in this project: the answer format that is set, and the length that the
recipe allows, in tokens of the base model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chatbot.base_models import BaseModel, BaseModelError, resolve
from finetune.checks import CheckSettings
from finetune.recipe import load_recipe
from settings import Settings


def make_checks(settings: Settings, base: BaseModel | None = None) -> CheckSettings:
    """Settings of the checks; without a base, its tokenizer is looked for on this machine only."""
    base = base or _find_local(settings)
    checks = CheckSettings(
        answer_format="text" if settings.answer_format == "text" else "recommendation",
        max_length=load_recipe(settings.recipe).max_length,
    )
    if base is None:
        return checks
    options = tuple(base.chat_template_kwargs.items())
    return replace(checks, model_dir=Path(base.path_or_hub_id), template_options=options)


def _find_local(settings: Settings) -> BaseModel | None:
    """The base model if its tokenizer is here already: checking a file must not download one."""
    try:
        base = resolve(settings.model)
    except BaseModelError:
        return None
    if base.is_local:
        return base
    from huggingface_hub import try_to_load_from_cache  # only for models of the hub

    found = try_to_load_from_cache(base.path_or_hub_id, "tokenizer.json")
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        return resolve(str(folder))
    except BaseModelError:  # the weights are not here yet; the tokenizer is enough
        return replace(base, path_or_hub_id=str(folder))
