"""Before step 1: what the trainer will really see, read back and judged.

Pure: lists of token ids come in, findings go out. Each refusal is a mistake that has cost
somebody a night, with its cure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from chatbot.recommendation import RecommendationError, canonical, parse

if TYPE_CHECKING:
    from finetune.checks import AnswerFormat

IGNORED: Final = -100  # the label of a token that is not learnt
_BLANK: Final = " \t\r\n\u0120\u010a\u2581"  # the last three: how vocabularies write blanks
_FEW_STEPS: Final = 60
_MANY_EPOCHS: Final = 20
_MOST_LEFT_OUT: Final = 0.2  # share of rows that may be too long


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it. values: its figures, for a sentence in
    another language.
    """

    code: str
    severity: Literal["refuse", "warn"]
    message: str
    cure: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenizerFacts:
    """What the tokenizer and the base's generation config say."""

    vocab_size: int
    pad_id: int | None
    pad_token: str | None
    eos_id: int | None
    eos_token: str | None
    stop_ids: frozenset[int]  # any of these ends an answer in serving
    has_template: bool
    is_template_served: bool  # the served model renders the same


@dataclass(frozen=True)
class ModelFacts:
    """What the model with its adapter says."""

    embedding_rows: int
    num_parameters: int
    num_trainable: int


@dataclass(frozen=True)
class EncodedRow:
    """One row as the trainer holds it; prompt_ids is the prompt as serving sends it."""

    input_ids: Sequence[int]
    labels: Sequence[int]
    prompt_ids: Sequence[int] | None = None


@dataclass(frozen=True)
class PaddedBatch:
    """One batch as it reaches the model; attention_mask None where nothing is padded."""

    input_ids: Sequence[Sequence[int]]
    labels: Sequence[Sequence[int]]
    attention_mask: Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class Course:
    """How long the training will be."""

    total_steps: int
    epochs: float
    num_rows: int
    num_left_out: int = 0
    longest_row: int = 0
    max_length: int = 0


@dataclass(frozen=True)
class PreflightReport:
    """Figures for people, and what was found."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def describe(self) -> str:
        """The figures in a sentence."""
        figures = self.figures
        return (
            f"{figures['supervised_share']:.0%} of the tokens are learnt, the longest row has "
            f"{figures['longest_row']}; {figures['trainable_parameters']:,} parameters train."
        )


class PreflightRefused(RuntimeError):
    """Training would be for nothing. `code` is the finding's; the message ends with the cure."""

    def __init__(self, report: PreflightReport) -> None:
        first = next(item for item in report.findings if item.severity == "refuse")
        super().__init__(f"{first.message} {first.cure}")
        self.code, self.values = first.code, first.values
        self.report = report


def check_all(*groups: Sequence[Finding], figures: Mapping[str, Any]) -> PreflightReport:
    """One report; raises PreflightRefused when anything in it refuses."""
    report = PreflightReport(figures, tuple(item for group in groups for item in group))
    if any(item.severity == "refuse" for item in report.findings):
        raise PreflightRefused(report)
    return report


def _refuse(code: str, message: str, cure: str, **values: object) -> Finding:
    return Finding(code, "refuse", message, cure, _to_text(values))


def _warn(code: str, message: str, cure: str, **values: object) -> Finding:
    return Finding(code, "warn", message, cure, _to_text(values))


def _to_text(values: Mapping[str, object]) -> dict[str, str]:
    return {
        name: f"{value:,}" if isinstance(value, int) else str(value)
        for name, value in values.items()
    }


def check_answers(
    answers: Sequence[str], answer_format: AnswerFormat = "recommendation"
) -> list[Finding]:
    """One format for all: mixed ones leave the loss on a floor for ever. Recommendations are the
    canonical JSON; where plain text is answered, none of it may be JSON.
    """
    is_json = answer_format == "recommendation"
    is_right = is_canonical if is_json else _is_plain
    wrong = [number for number, text in enumerate(answers, 1) if not is_right(text)]
    if not wrong or (not is_json and len(wrong) == len(answers)):
        return []
    shown = ", ".join(map(str, wrong[:5])) + ("…" if len(wrong) > 5 else "")
    found = f"{len(wrong)} of {len(answers)} answers"
    cure = "Open them in Curate, repair or exclude them, and freeze the dataset again."
    figures = {"count": len(wrong), "of": len(answers), "rows": shown}
    if is_json:
        text = f"{found} are not the canonical JSON (rows {shown})."
        return [_refuse("mixed_formats", text, cure, **figures)]
    text = f"{found} are JSON among plain text (rows {shown})."
    return [_refuse("json_in_text", text, cure, **figures)]


def _is_plain(text: str) -> bool:
    """Whether the text is neither a JSON object or string nor a fence around one."""
    try:
        return not isinstance(json.loads(text.strip().strip("`").removeprefix("json")), dict | str)
    except ValueError:
        return True


def is_canonical(text: str) -> bool:
    """Whether the text is exactly what serving constrains answers to."""
    try:
        return canonical(parse(text)) == text
    except RecommendationError:
        return False


def check_tokenizer(facts: TokenizerFacts) -> list[Finding]:
    """A template, the one that serves, and an end token that can end an answer."""
    found = []
    if not facts.has_template:
        found.append(
            _refuse(
                "no_chat_template",
                "The base model's tokenizer has no chat template.",
                "Use the instruct version of the model; do not paste a template by hand.",
            )
        )
    elif not facts.is_template_served:
        found.append(
            _refuse(
                "other_template",
                "The chat template in training differs from the one in serving.",
                "Restore tokenizer_config.json and chat_template.jinja of the base model.",
            )
        )
    if facts.eos_id is None or facts.eos_token is None or not facts.eos_token.strip(_BLANK):
        found.append(
            _refuse(
                "broken_eos",
                f"The end token of the tokenizer is {facts.eos_token!r}: answers would never end.",
                "Restore tokenizer_config.json and generation_config.json of the base model.",
            )
        )
    if facts.pad_id is None:
        found.append(
            _refuse(
                "no_pad_token",
                "The tokenizer has no pad token and no spare token to pad with.",
                "Set pad_token in tokenizer_config.json to a token that no text contains.",
            )
        )
    elif facts.pad_id == facts.eos_id:
        found.append(
            _warn(
                "pad_is_eos",
                "Padding uses the end token.",
                "It is kept out of the loss by position; a pad token of its own is safer.",
            )
        )
    return found


def check_rows(rows: Sequence[EncodedRow], facts: TokenizerFacts) -> list[Finding]:
    """The loss covers the answer, the whole answer with its end, and nothing else."""
    found = []
    unlearnt = sum(all(label == IGNORED for label in row.labels) for row in rows)
    if unlearnt:
        found.append(
            _refuse(
                "nothing_to_learn",
                f"{unlearnt} of {len(rows)} rows have no token in the loss.",
                "Raise max_length in the recipe; the answers are cut away.",
                count=unlearnt,
                of=len(rows),
            )
        )
    in_prompt = sum(_learns_prompt(row) for row in rows)
    if in_prompt:
        found.append(
            _refuse(
                "prompt_in_loss",
                f"In {in_prompt} of {len(rows)} rows the loss covers the prompt.",
                "Labels must be -100 up to the answer; a copy of input_ids is wrong.",
                count=in_prompt,
                of=len(rows),
            )
        )
    found += _check_prompts(rows) + _check_ends(rows, facts)
    return found


def _learns_prompt(row: EncodedRow) -> bool:
    prompt = len(row.prompt_ids) if row.prompt_ids is not None else 1
    return any(label != IGNORED for label in row.labels[:prompt])


def _check_prompts(rows: Sequence[EncodedRow]) -> list[Finding]:
    other = sum(
        row.prompt_ids is not None
        and list(row.input_ids[: len(row.prompt_ids)]) != list(row.prompt_ids)
        for row in rows
    )
    if not other:
        return []
    return [
        _refuse(
            "other_prompt",
            f"{other} of {len(rows)} prompts are encoded differently than in serving.",
            "Use the chat template of the base model unchanged, in training and in serving.",
            count=other,
            of=len(rows),
        )
    ]


def _check_ends(rows: Sequence[EncodedRow], facts: TokenizerFacts) -> list[Finding]:
    """Among the last learnt tokens is an end of turn; some templates put a line break after it."""
    endless = 0
    for row in rows:
        learnt = [label for label in row.labels if label != IGNORED]
        endless += bool(learnt) and not facts.stop_ids.intersection(learnt[-2:])
    if not endless:
        return []
    return [
        _refuse(
            "no_end",
            f"{endless} of {len(rows)} answers do not end with an end-of-turn token.",
            "The model would never stop. Restore the base model's chat template and end token, "
            "and do not pad with the end token.",
            count=endless,
            of=len(rows),
        )
    ]


def check_batch(batch: PaddedBatch, facts: TokenizerFacts) -> list[Finding]:
    """No padding in the loss."""
    if batch.attention_mask is None:
        return []
    padded = sum(
        mask == 0 and label != IGNORED
        for masks, labels in zip(batch.attention_mask, batch.labels, strict=True)
        for mask, label in zip(masks, labels, strict=True)
    )
    padded += _count_masked_out_padding(batch, facts)
    if not padded:
        return []
    return [
        _refuse(
            "padding_in_loss",
            f"{padded} padding tokens of the first batch are in the loss.",
            "Labels of padding must be -100; the loss would look good and mean nothing.",
            count=padded,
        )
    ]


def _count_masked_out_padding(batch: PaddedBatch, facts: TokenizerFacts) -> int:
    """Padding that the attention mask does not know: learnt pads after the first one of a row."""
    count = 0
    for labels in batch.labels:
        learnt = [label for label in labels if label != IGNORED]
        while len(learnt) > 1 and learnt[-1] == learnt[-2] == facts.pad_id:
            learnt.pop()
            count += 1
    return count


def check_model(facts: ModelFacts, tokenizer: TokenizerFacts) -> list[Finding]:
    """Something is trained, and every token has a row in the embedding."""
    found = []
    if facts.num_trainable == 0:
        found.append(
            _refuse(
                "nothing_trainable",
                "The recipe's target_modules match no layer of this model: nothing would train.",
                "Use target_modules = all-linear.",
            )
        )
    if tokenizer.vocab_size > facts.embedding_rows:
        found.append(
            _refuse(
                "vocabulary_too_large",
                f"The tokenizer has {tokenizer.vocab_size} tokens, the model only "
                f"{facts.embedding_rows}.",
                "Tokenizer and weights are not of one model; copy both from the same place.",
            )
        )
    return found


def check_course(course: Course) -> list[Finding]:
    """Enough steps to learn, not so many passes that it only memorises, few rows left out."""
    found = []
    total = course.num_rows + course.num_left_out
    if course.num_left_out > _MOST_LEFT_OUT * total:
        found.append(
            _refuse(
                "rows_too_long",
                f"{course.num_left_out} of {total} rows are longer than max_length = "
                f"{course.max_length}; the longest has {course.longest_row} tokens.",
                "Raise max_length in the recipe, or shorten the rows in Curate.",
                count=course.num_left_out,
                of=total,
                most=course.max_length,
                longest=course.longest_row,
            )
        )
    elif course.num_left_out:
        text = f"{course.num_left_out} of {total} rows are too long and left out."
        cure, count = "Raise max_length to train on them.", course.num_left_out
        found.append(_warn("some_too_long", text, cure, count=count, of=total))
    if course.total_steps < _FEW_STEPS:
        text = f"Only {course.total_steps} optimizer steps: with fewer than {_FEW_STEPS} a model "
        text += "learns next to nothing."
        cure, steps = "Raise min_steps in the recipe.", course.total_steps
        found.append(_warn("few_steps", text, cure, steps=steps, least=_FEW_STEPS))
    if course.epochs > _MANY_EPOCHS:
        text = f"{course.epochs:g} passes over {course.num_rows} rows: it may learn them by heart."
        cure = "Collect more examples, or lower num_train_epochs."
        passes = f"{course.epochs:g}"
        found.append(_warn("many_epochs", text, cure, passes=passes, rows=course.num_rows))
    return found


def describe_rows(rows: Sequence[EncodedRow]) -> dict[str, Any]:
    """Figures of the rows for people."""
    lengths = [len(row.input_ids) for row in rows]
    learnt = sum(label != IGNORED for row in rows for label in row.labels)
    total = sum(lengths)
    return {
        "rows_read": len(rows),
        "supervised_share": round(learnt / total, 4) if total else 0.0,
        "longest_row": max(lengths, default=0),
        "mean_row": round(total / len(rows), 1) if rows else 0.0,
    }
