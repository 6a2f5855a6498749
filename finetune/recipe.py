"""Recipe: every knob of a training. None means: from the data, see adapt_recipe().

The presets are assets/recipes/*.toml: three to use, and one per experience that is worth running
again. What each knob means and its bounds stand in knobs.py.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from finetune.knobs import KNOBS

RECIPES_DIR: Final = Path(__file__).parents[1] / "assets" / "recipes"
DEFAULT_RECIPE: Final = "balanced"
EVERYDAY: Final = ("balanced", "quick", "thorough")
ALL_LINEAR: Final = "all-linear"
MODULES: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

RunKind = Literal["sft", "dpo", "kto"]
Switch = Literal["auto", "on", "off"]


class RecipeError(ValueError):
    """A recipe cannot be used. `code` is stable: unknown_recipe, unreadable_recipe, unknown_knob,
    wrong_type, out_of_bounds, bad_combination. The message names the knob.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Recipe:
    """One training, complete. Checks itself; RecipeError names the knob that is wrong."""

    name: str = "custom"
    about: str = ""
    about_ko: str = ""
    kind: RunKind = "sft"
    r: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    learning_rate: float | None = None
    lr_scheduler_type: str = "cosine"
    warmup_ratio: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    num_train_epochs: float | None = None
    min_steps: int = 60
    max_steps: int = 0
    effective_batch_size: int | None = None
    per_device_train_batch_size: int | None = None
    max_length: int = 1024
    packing: Switch = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    quantization: Literal["auto", "none", "nf4"] = "auto"
    gradient_checkpointing: Switch = "auto"
    eval_steps: int | None = None
    patience: int = 3
    num_samples: int = 5
    preference_learning_rate: float | None = None
    beta: float = 0.1
    tracking: Literal["auto", "online", "offline", "off"] = "auto"
    seed: int = 20_261

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            why = None if value is None else KNOBS[item.name].explain_refusal(item.name, value)
            if why:
                raise RecipeError("out_of_bounds", why)
        _check_modules(self.target_modules)
        _check_combinations(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; recipe_from_dict() reads them back."""
        values = asdict(self)
        if not isinstance(self.target_modules, str):
            values["target_modules"] = list(self.target_modules)
        return values


def _check_modules(modules: str | tuple[str, ...]) -> None:
    if modules == ALL_LINEAR:
        return
    unknown = [modules] if isinstance(modules, str) else sorted(set(modules) - set(MODULES))
    if unknown or not modules:
        raise RecipeError(
            "out_of_bounds",
            f"target_modules has {', '.join(unknown) or 'nothing'}; "
            f"use {ALL_LINEAR} or some of {', '.join(MODULES)}.",
        )


def _check_combinations(recipe: Recipe) -> None:
    batch, micro = recipe.effective_batch_size, recipe.per_device_train_batch_size
    if batch and micro and batch % micro:
        raise RecipeError(
            "bad_combination",
            f"effective_batch_size {batch} is no multiple of per_device_train_batch_size {micro}.",
        )
    if recipe.max_steps and recipe.max_steps < recipe.min_steps:
        raise RecipeError(
            "bad_combination",
            f"max_steps {recipe.max_steps} is below min_steps {recipe.min_steps}.",
        )


def _read_knob(name: str, value: Any) -> Any:
    """The value in the type of its knob: TOML and JSON know no tuples, and write 1 for 1.0."""
    hint = str(Recipe.__dataclass_fields__[name].type)
    if value is None and "None" in hint:
        return None
    if name == "target_modules" and isinstance(value, list | tuple):
        return tuple(str(item) for item in value)
    wanted: type = float if "float" in hint else int if "int" in hint else str
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise RecipeError("wrong_type", f"{name} is {value!r}; it must be {wanted.__name__}.")
    return value


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """A checked recipe from plain types."""
    unknown = sorted(set(values) - set(KNOBS))
    if unknown:
        raise RecipeError("unknown_knob", f"A recipe has no knob {', '.join(unknown)}.")
    return Recipe(**{name: _read_knob(name, value) for name, value in values.items()})


def list_recipes() -> tuple[str, ...]:
    """Names of the presets: the default, the other everyday ones, then the experiences."""
    names = sorted(path.stem for path in RECIPES_DIR.glob("*.toml"))
    return (*EVERYDAY, *(name for name in names if name not in EVERYDAY))


def load_recipe(name: str | Path = DEFAULT_RECIPE) -> Recipe:
    """A preset by its name, or a recipe file (.toml)."""
    path = Path(name) if str(name).endswith(".toml") else RECIPES_DIR / f"{name}.toml"
    if not path.is_file():
        raise RecipeError(
            "unknown_recipe",
            f"There is no recipe {str(name)[:80]!r}; use {', '.join(list_recipes())} "
            "or the path of a .toml file.",
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RecipeError("unreadable_recipe", f"{path} cannot be read: {error}.") from error
    return recipe_from_dict({"name": path.stem, **values})


@dataclass(frozen=True)
class Reason:
    """Why a knob got its value; `code` and `values` let a page say it in another language."""

    code: str
    message: str
    values: Mapping[str, Any]


# (rows below which it holds, r, dropout, effective batch, epochs); where each comes from: knobs.py
_BY_ROWS: Final = (
    (200, 8, 0.05, 8, 5.0),
    (2_000, 16, 0.05, 16, 3.0),
    (20_000, 16, 0.0, 16, 2.0),
    (math.inf, 32, 0.0, 32, 2.0),
)
# (parameters below which it holds, peak learning rate); smaller bases bear and need more.
_BY_SIZE: Final = ((1e8, 1e-3), (4.5e9, 2e-4), (math.inf, 1e-4))
_LARGE_DATA: Final = 2_000  # rows; from here on half the rate is enough for bases of 7B and more
_SMALLEST_BATCH: Final = 4


def adapt_recipe(recipe: Recipe, num_rows: int, num_parameters: int | None = None) -> Recipe:
    """Fill what is None from the data, and see that there are enough optimizer steps."""
    return explain_recipe(recipe, num_rows, num_parameters)[0]


def explain_recipe(
    recipe: Recipe, num_rows: int, num_parameters: int | None = None
) -> tuple[Recipe, tuple[Reason, ...]]:
    """adapt_recipe(), and the reasons for what it chose."""
    if num_rows < 1:
        raise RecipeError("bad_combination", "There is no row to train on.")
    row = next(row for row in _BY_ROWS if num_rows < row[0])
    filled = replace(
        recipe,
        r=recipe.r or row[1],
        lora_alpha=recipe.lora_alpha or 2 * (recipe.r or row[1]),
        lora_dropout=row[2] if recipe.lora_dropout is None else recipe.lora_dropout,
        effective_batch_size=recipe.effective_batch_size or _batch_for(recipe, row[3]),
        num_train_epochs=recipe.num_train_epochs or row[4],
        learning_rate=recipe.learning_rate or _rate_for(num_parameters or 2e9, num_rows),
    )
    adapted = _reach_min_steps(filled, num_rows, may_shrink=recipe.effective_batch_size is None)
    return adapted, tuple(_explain(recipe, adapted, num_rows))


def _batch_for(recipe: Recipe, wanted: int) -> int:
    """The batch of the table, made a multiple of a micro-batch that was asked for."""
    micro = recipe.per_device_train_batch_size or 1
    return micro * max(1, round(wanted / micro))


def _rate_for(num_parameters: float, num_rows: int) -> float:
    rate = next(rate for size, rate in _BY_SIZE if num_parameters < size)
    return rate / 2 if num_rows >= _LARGE_DATA else rate


def preference_rate(kind: str, num_parameters: int) -> float:
    """DPO and KTO move the adapter far more gently than imitation does."""
    imitation = _rate_for(num_parameters, 1)
    return imitation / (20 if kind == "dpo" else 50)


def count_steps(recipe: Recipe, num_rows: int) -> int:
    """Optimizer steps of an adapted recipe on so many rows."""
    batch, epochs = recipe.effective_batch_size or 1, recipe.num_train_epochs or 1.0
    steps = max(1, recipe.min_steps, math.ceil(num_rows * epochs / batch - 1e-9))
    return min(steps, recipe.max_steps) if recipe.max_steps else steps


def _reach_min_steps(recipe: Recipe, num_rows: int, *, may_shrink: bool) -> Recipe:
    """Smaller batches first, they cost nothing; then more epochs."""
    batch, epochs = recipe.effective_batch_size or 1, recipe.num_train_epochs or 1.0
    micro = recipe.per_device_train_batch_size or 1
    while may_shrink and num_rows * epochs / batch < recipe.min_steps and batch % 2 == 0:
        if batch // 2 < _SMALLEST_BATCH or (batch // 2) % micro:
            break
        batch //= 2
    smaller = replace(recipe, effective_batch_size=batch)
    steps = count_steps(smaller, num_rows)
    if steps == math.ceil(num_rows * epochs / batch - 1e-9):
        return smaller
    return replace(smaller, num_train_epochs=min(500.0, round(steps * batch / num_rows, 2)))


def _explain(asked: Recipe, adapted: Recipe, num_rows: int) -> list[Reason]:
    steps = count_steps(adapted, num_rows)
    batch, epochs = adapted.effective_batch_size, adapted.num_train_epochs or 0
    values = {"rows": num_rows, "steps": steps, "batch": batch, "epochs": epochs}
    text = f"{num_rows} rows in batches of {batch}: {epochs:g} passes are {steps} steps."
    reasons = [Reason("steps", text, values)]
    if asked.r is None:
        values = {"rows": num_rows, "r": adapted.r}
        reasons.append(Reason("rank", f"Rank {adapted.r} is enough for {num_rows} rows.", values))
    if asked.learning_rate is None:
        rate = adapted.learning_rate
        text = f"Learning rate {rate:g} suits a base of this size and {num_rows} rows."
        reasons.append(Reason("learning_rate", text, {"learning_rate": rate, "rows": num_rows}))
    if steps < 60:
        text = f"Only {steps} steps: with fewer than 60 a model learns little."
        reasons.append(Reason("few_steps", text, {"steps": steps}))
    return reasons
