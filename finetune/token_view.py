"""What training will learn from an example, token by token: which tokens the loss covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune.chat_template import ChatTokenizer


@dataclass(frozen=True)
class ShownToken:
    """One token, as text."""

    token_id: int
    text: str
    is_in_loss: bool


@dataclass(frozen=True)
class TokenView:
    """One example as training sees it. is_cut: the end lies behind max_length; has_end: the end of
    the turn is learned, without it answers never stop.
    """

    tokens: tuple[ShownToken, ...]
    num_prompt: int
    num_loss: int
    is_cut: bool
    has_end: bool


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    length = 0
    for ours, theirs in zip(left, right, strict=False):
        if ours != theirs:
            break
        length += 1
    return length


def _token_texts(tokenizer: ChatTokenizer, ids: Sequence[int]) -> list[str]:
    """The text that each token adds; a syllable of several tokens appears with its last one."""
    texts: list[str] = []
    start = 0  # decode from here on: far enough back for a syllable to be whole
    shown = ""
    for at in range(len(ids)):
        text = tokenizer.decode(ids[start : at + 1])
        if text.endswith("\ufffd"):
            texts.append("")
            continue
        texts.append(text[len(shown) :] if text.startswith(shown) else text)
        start, shown = at, tokenizer.decode(ids[at : at + 1])
        if shown.endswith("\ufffd"):  # the last token alone is no whole text
            start, shown = at + 1, ""
    return texts


def show_tokens(
    tokenizer: ChatTokenizer,
    messages: Sequence[Mapping[str, str]],
    completion: str,
    *,
    max_length: int,
    options: Mapping[str, Any] | None = None,
) -> TokenView:
    """The tokens of one example, split as the trainer splits them: what the rendered prompt and
    the whole share is the prompt, and the loss covers the rest.
    """
    whole = [*messages, {"role": "assistant", "content": completion}]
    prompt_text = tokenizer.render(messages, add_generation_prompt=True, options=options)
    prompt_ids = tokenizer.encode(prompt_text)
    ids = tokenizer.encode(tokenizer.render(whole, options=options))
    num_prompt = _common_prefix(prompt_ids, ids)
    kept = ids[:max_length]
    texts = _token_texts(tokenizer, kept)
    end_id = tokenizer.token_id(tokenizer.special["eos_token"])
    tokens = tuple(
        ShownToken(token_id, text, at >= num_prompt)
        for at, (token_id, text) in enumerate(zip(kept, texts, strict=True))
    )
    return TokenView(
        tokens=tokens,
        num_prompt=min(num_prompt, len(kept)),
        num_loss=max(0, len(kept) - num_prompt),
        is_cut=len(ids) > max_length,
        has_end=end_id is not None and end_id in kept[num_prompt:],
    )
