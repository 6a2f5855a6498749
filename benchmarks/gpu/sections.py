"""What is measured on a GPU: the sections, their measurements, and the columns of their tables.

Pure, so that the report and the tests can read it where there is neither a GPU nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One measurement of a section. predicted: how many times faster than the row above."""

    name: str
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    predicted: float | None = None


@dataclass(frozen=True)
class Column:
    """One figure of a table: its key, its heading, and how it is written."""

    key: str
    title: str
    form: str = ",.0f"


@dataclass(frozen=True)
class Section:
    """A group of measurements that run in a process of their own, within a time limit."""

    name: str
    title: str
    about: str
    needs: tuple[str, ...]  # importable packages
    limit_s: int
    cells: tuple[Cell, ...]
    columns: tuple[Column, ...]
    dry_cells: tuple[str, ...] = ()  # those that a machine without a GPU rehearses


_TRAINING_COLUMNS: Final = (
    Column("rows_at_once", "rows at once"),
    Column("tokens_per_s", "tokens/s"),
    Column("step_ms", "step, ms"),
    Column("mfu", "MFU", ".1%"),
    Column("peak_mib", "peak, MiB"),
    Column("planned_mib", "planned, MiB"),
    Column("plan_error", "plan error", "+.1%"),
)
_LEVER_COLUMNS: Final = (
    Column("tokens_per_s", "tokens/s"),
    Column("step_ms", "step, ms"),
    Column("peak_mib", "peak, MiB"),
    Column("loss", "loss", ".4f"),
    Column("predicted", "predicted", ".2f"),
    Column("factor", "measured", ".2f"),
)
_SERVING_COLUMNS: Final = (
    Column("seconds", "seconds", ",.2f"),
    Column("tokens_per_s", "tokens/s"),
    Column("first_text_ms", "first text p50, ms"),
    Column("gap_p95_ms", "gap p95, ms", ",.1f"),
    Column("failed", "failed"),
    Column("note", "", ""),
)


def _training_cells() -> tuple[Cell, ...]:
    """Small ones first: a lease that ends early has then measured the most."""
    models = ("gemma-1b", "qwen-1.7b", "kanana-2b", "mistral-7b")
    return tuple(
        Cell(f"{model}/{numbers}", f"{model}, {words}", {"model": model, "numbers": numbers})
        for numbers, words in (("bf16", "bf16"), ("nf4", "base in 4 bits"))
        for model in models
    )


# Where the predictions come from: docs/gpu.md.
_LEVERS: Final = (
    Cell("start", "ours, one row at once, 16 accumulated, nothing else", {"rows_at_once": 1}, None),
    Cell("larger-micro-batch", "+ 16 rows at once", {"rows_at_once": 16}, 2.5),
    Cell("no-checkpointing", "+ activations kept", {"gradient_checkpointing": False}, 1.3),
    Cell("varlen", "+ no padding, variable-length attention", {"varlen": True}, 1.15),
    Cell("fused-loss", "+ loss without whole logits", {"whole_logits": False}, 1.12),
    Cell("compile", "+ compiled model", {"torch_compile": True}, 1.12),
    Cell("liger", "+ Liger's layer kernels", {"layer_kernels": True}, 1.08),
    Cell("fused-optimizer", "+ fused optimizer", {"optimizer": "adamw_torch_fused"}, 1.01),
)
_PEERS: Final = (
    Cell("seeds", "the seeds' way: batch 1 × 16, rows padded to 512, loss on every token"),
    Cell("trl-packing", "TRL's defaults with packing to 1024"),
    Cell("ours", "ours, as the product chooses by itself"),
)


def _stream_cells() -> tuple[Cell, ...]:
    return tuple(
        Cell(
            f"{count}-streams-{kind}",
            f"{count} streams, {'an adapter' if kind == 'lora' else 'the base'}",
            {"streams": count, "lora": kind == "lora"},
        )
        for count in (1, 16, 64)
        for kind in ("base", "lora")
    )


SECTIONS: Final[tuple[Section, ...]] = (
    Section(
        "card",
        "The card's own ceilings",
        "A large bf16 matrix product on random data, and a copy on the card (bytes read and "
        "written). Medians; MFU below is against this matrix rate.",
        ("torch",),
        120,
        (
            Cell("matrix-rate", "bf16 matrix product, 8192 × 8192 × 8192"),
            Cell("copy-rate", "copy of 4 GiB on the card"),
        ),
        (Column("tflops", "TFLOP/s", ",.1f"), Column("gb_per_s", "GB/s")),
        ("matrix-rate", "copy-rate"),
    ),
    Section(
        "training",
        "Training: four architectures at their real sizes",
        "LoRA, r=16 on all linear layers, rows of 1024 tokens with answers of 256; random weights. "
        "Rows at once and gradient checkpointing as the memory plan chooses.",
        ("torch", "transformers", "peft", "trl", "datasets"),
        600,
        _training_cells(),
        _TRAINING_COLUMNS,
        ("kanana-2b/nf4",),
    ),
    Section(
        "peers",
        "Training: against the seeds and TRL's defaults",
        "Kanana-2.1B's shape, the project's own examples as rows. Tokens that count: padding does "
        "not. 16 rows a step for all but TRL's packing, whose rows are packed.",
        ("torch", "transformers", "peft", "trl", "datasets"),
        420,
        _PEERS,
        _LEVER_COLUMNS,
        ("seeds", "trl-packing", "ours"),
    ),
    Section(
        "levers",
        "Training: the levers, in the order of their predicted gain",
        "Each row adds one lever to the row above; same model, rows and steps as before. A lever "
        "that cannot be tried here is left out of the rows below it.",
        ("torch", "transformers", "peft", "trl", "datasets"),
        600,
        _LEVERS,
        _LEVER_COLUMNS,
        ("start", "varlen"),
    ),
    Section(
        "serving",
        "Serving on vLLM",
        "Kanana-2.1B's shape with random weights and adapters of rank 16; answers of 128 tokens.",
        ("vllm", "transformers"),
        600,
        (
            Cell("start-up", "start to the first answer"),
            Cell("hot-load", "load an adapter, prove it, answer"),
            Cell("structured", "16 answers under the JSON schema, all parsed"),
            *_stream_cells(),
            Cell("swap", "a second adapter loaded under 16 streams", {"streams": 16}),
            Cell("co-resident", "training beside 16 streams", {"streams": 16}),
            Cell("sleep", "sleep, train, wake, same answers"),
        ),
        _SERVING_COLUMNS,
        (
            *("start-up", "hot-load", "structured", "1-streams-base", "16-streams-lora"),
            *("swap", "co-resident", "sleep"),
        ),
    ),
    Section(
        "loop",
        "The whole loop on the starter model",
        "`make run`, 200 examples, one retrain: from the click to the first answer of the new "
        "version.",
        ("torch", "trl", "gradio"),
        900,
        (Cell("loop", "page, first answer, retrain"),),
        (
            Column("page_s", "page, s", ",.1f"),
            Column("first_answer_s", "first answer, s", ",.1f"),
            Column("retrain_s", "click to new version, s", ",.1f"),
            Column("valid_json_before", "valid before", ".0%"),
            Column("valid_json_after", "valid after", ".0%"),
        ),
        ("loop",),
    ),
)
NAMES: Final = tuple(section.name for section in SECTIONS)


def find_section(name: str) -> Section:
    """The section of that name."""
    return next(section for section in SECTIONS if section.name == name)


def cells_of(section: Section, *, is_dry: bool) -> tuple[Cell, ...]:
    """All measurements, or those that a dry run rehearses."""
    return tuple(cell for cell in section.cells if not is_dry or cell.name in section.dry_cells)
