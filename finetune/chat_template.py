"""A model folder's own tokenizer and chat template, without importing transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

_TEMPLATE_BYTES: Final = 64  # that a chat template puts around one message, generously
_MAX_SHARED: Final = 64  # system messages whose length is remembered
_MAX_WORDS: Final = 200_000  # words whose length is remembered
_MAX_WORD: Final = 40  # characters of a word that may come again
_WORD_MARGIN: Final = 1.1  # a text has rarely more tokens than its words; never so many more
_SPECIAL: Final = ("bos_token", "eos_token", "pad_token", "unk_token")


class TokenizerError(ValueError):
    """The folder has no usable tokenizer. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _GenerationBlock(Extension):
    """The {% generation %} block marks what the assistant says; here it only prints it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> str:
    raise TemplateError(message)


def _make_environment() -> ImmutableSandboxedEnvironment:
    """Set up as transformers does: a template is code from the model's author."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, ensure_ascii=False, **options
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TokenizerError("bad_tokenizer", f"{path.name} is no JSON: {error}.") from error
    return value if isinstance(value, dict) else {}


def _token_text(value: Any) -> str:
    return str(value["content"]) if isinstance(value, dict) else str(value or "")


class ChatTokenizer:
    """Renders messages and splits them into the tokens that training and serving see."""

    def __init__(self, model_dir: Path) -> None:
        path = model_dir / "tokenizer.json"
        if not path.exists():
            raise TokenizerError(
                "no_tokenizer", f"{model_dir.name} has no tokenizer.json, so nothing can be shown."
            )
        self._tokenizer = Tokenizer.from_file(str(path))
        config = _read_json(model_dir / "tokenizer_config.json")
        self.special = {name: _token_text(config.get(name)) for name in _SPECIAL}
        self._shared: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._refusals: dict[tuple[str, ...], str] = {}
        self._template = _make_environment().from_string(_read_template(model_dir, config))

    def render(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        add_generation_prompt: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of the messages; raises TokenizerError where the template refuses them."""
        try:
            return self._template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                **self.special,
                **(options or {}),
            )
        except TemplateError as error:
            raise TokenizerError(
                "template_refused", f"The model's chat template refuses the messages: {error}."
            ) from error

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_tokens(
        self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any] | None = None
    ) -> int:
        """How many tokens the rendered messages have; quicker than encode()."""
        text = self.render(messages, options=options)
        [found] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return len(found.ids)

    def is_surely_within(self, messages: Sequence[Mapping[str, str]], limit: int) -> bool:
        """Whether the messages have at most `limit` tokens, where that can be told at no cost:
        by bytes, of which a token has at least one, then by words, whose tokens are remembered. The
        system message, which rows share, is counted once.
        """
        known = _TEMPLATE_BYTES * len(messages)
        texts = []
        for message in messages:
            if message["role"] == "system":
                known += self._count_shared(message["content"])
            else:
                texts.append(message["content"])
        if known + sum(len(text.encode("utf-8", "replace")) for text in texts) <= limit:
            return True
        return known + _WORD_MARGIN * sum(map(self._count_words, texts)) <= limit

    def find_refusal(self, roles: tuple[str, ...]) -> str:
        """Why the template refuses messages of these roles in this order; "" when it takes them."""
        if roles not in self._refusals:
            try:
                self.render([{"role": role, "content": "x"} for role in roles])
                self._refusals[roles] = ""
            except TokenizerError as error:
                self._refusals[roles] = str(error)
        return self._refusals[roles]

    def _count_words(self, text: str) -> int:
        words = text.split(" ")
        if len(self._words) > _MAX_WORDS:
            self._words.clear()
        missing = list({word for word in words if word not in self._words})
        if missing:
            # Marked as inside a text, where most tokenizers begin a word with its space.
            found = self._tokenizer.encode_batch_fast(
                [f" {word}" for word in missing], add_special_tokens=False
            )
            self._words.update(zip(missing, (len(one.ids) for one in found), strict=True))
        num = sum(self._words[word] for word in words)
        for word in missing:
            if len(word) > _MAX_WORD:  # it would only take room
                del self._words[word]
        return num

    def _count_shared(self, text: str) -> int:
        if text not in self._shared:
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            self._shared[text] = len(self.encode(text))
        return self._shared[text]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens, special ones shown."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def token_id(self, text: str) -> int | None:
        """The id of a special token."""
        found = self._tokenizer.token_to_id(text) if text else None
        return None if found is None else int(found)


def _read_template(model_dir: Path, config: Mapping[str, Any]) -> str:
    path = model_dir / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name
        template = next((t["template"] for t in template if t.get("name") == "default"), None)
    if not isinstance(template, str):
        raise TokenizerError(
            "no_template",
            f"{model_dir.name} has no chat template. Use the instruct version of the model.",
        )
    return template


@lru_cache(maxsize=4)
def find_tokenizer(model_dir: Path) -> ChatTokenizer | None:
    """The tokenizer of a model folder, read once; None where the folder has no usable one."""
    try:
        return ChatTokenizer(model_dir)
    except TokenizerError:
        return None
