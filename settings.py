"""All settings of the application: settings.toml, then the environment, then flags.

One field, one line of help, one default; `--help` and the docs are made from these fields. Each
part gets its own frozen settings object from the wiring; nothing else reads the environment.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

logger = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parent
PREFIX: Final = "ECOLOOP_"
LEAST_CASES: Final = 24  # fewer answers the gate does not compare
# No flags: every user of the machine sees those in ps.
SECRETS: Final = ("admin_password", "curator_password", "judge_api_key")


class SettingsError(ValueError):
    """A setting is wrong. The message names it, where it came from, and what is possible."""


def _setting(section: str, default: Any, text: str, choices: Sequence[str] = ()) -> Any:
    metadata = {"section": section, "help": text, "choices": tuple(choices)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. Lists are tuples; times and sizes carry their unit."""

    host: str = _setting("server", "127.0.0.1", "address to listen on")
    port: int = _setting("server", 7860, "port to listen on")
    share: bool = _setting("server", False, "make a public link, as the demo does")
    root_path: str = _setting("server", "", "sub-path behind a reverse proxy, such as /eco")
    cors_origins: tuple[str, ...] = _setting(
        "server", (), "web origins that may call the API (comma-separated, * for all)"
    )
    admin_password: str = _setting(
        "server", "", "password of the studio; when shared and empty, one is made and printed"
    )
    curator_password: str = _setting(
        "server", "", "password of curators, who curate but neither train nor promote"
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "server",
        (),
        "addresses or networks of reverse proxies whose X-Forwarded headers count "
        "(comma-separated); the studio then needs a password",
    )
    model: str = _setting(
        "model",
        "starter",
        "base model: starter, kanana, gemma, mistral, qwen, a hub id or a folder",
    )
    engine: str = _setting(
        "model",
        "auto",
        "what generates: vLLM where it is installed, else transformers in this process",
        ("auto", "vllm", "transformers"),
    )
    vllm_urls: tuple[str, ...] = _setting(
        "model", (), "running vLLM servers to use instead of an own one (comma-separated)"
    )
    max_model_len: int = _setting(
        "model", 0, "tokens of prompt and answer together; 0: what the model allows, at most 4096"
    )
    temperature: float = _setting("model", 0.7, "sampling temperature; 0 is greedy")
    top_p: float = _setting("model", 0.9, "nucleus sampling")
    max_tokens: int = _setting("model", 512, "tokens of one answer at most")
    data_dir: Path = _setting("data", Path("data"), "folder of the database, datasets and adapters")
    retention_days: int = _setting("data", 30, "days that raw conversations are kept; 0: for ever")
    answer_format: str = _setting(
        "learning",
        "recommendation",
        "what the examples answer with: recommendation (a sentence and three challenges) or text",
        ("recommendation", "text"),
    )
    recipe: str = _setting("learning", "balanced", "training recipe: a preset or a TOML file")
    auto_promote: bool = _setting(
        "learning", True, "let a version that passes the gate answer without a click"
    )
    min_examples: int = _setting("learning", 20, "accepted examples needed before a retrain")
    num_cases: int = _setting("learning", 96, "held-out cases of an evaluation, 24 to 176")
    judge_url: str = _setting(
        "learning", "", "OpenAI-compatible server whose model judges answers, up to /v1; none: off"
    )
    judge_model: str = _setting("learning", "", "name of the judging model")
    judge_api_key: str = _setting("learning", "", "key of the judging server, if it wants one")
    wandb: Literal["off", "offline", "online"] = _setting(
        "learning", "off", "Weights & Biases tracking", ("off", "offline", "online")
    )
    title: str = _setting("screen", "EcoLoop", "name shown on the page")
    lang: str = _setting("screen", "ko", "language when the browser asks for neither", ("ko", "en"))
    public_arena: bool = _setting("screen", False, "show the arena to everybody")

    def __post_init__(self) -> None:
        _check_range("port", self.port, 1, 65_535)
        _check_root_path(self.root_path)
        _check_networks("trusted_proxies", self.trusted_proxies)
        _check_range("temperature", self.temperature, 0, 2)
        _check_range("top_p", self.top_p, 0.01, 1)
        _check_range("max_tokens", self.max_tokens, 16, 8192)
        _check_range("retention_days", self.retention_days, 0, 36_500)
        _check_range("min_examples", self.min_examples, 1, 1_000_000)
        _check_num_cases(self.num_cases)
        _check_judge(self.judge_url, self.judge_model)
        for entry in fields(self):
            choices = entry.metadata["choices"]
            if choices and getattr(self, entry.name) not in choices:
                raise SettingsError(
                    f"{entry.name} is {getattr(self, entry.name)!r}; "
                    f"it must be one of {', '.join(choices)}."
                )


def _check_judge(url: str, model: str) -> None:
    if url and not url.startswith(("http://", "https://")):
        raise SettingsError(f"judge_url is {url!r}; it must begin with http:// or https://.")
    if bool(url) != bool(model):
        raise SettingsError("judge_url and judge_model belong together; set both or none.")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}; it must be between {low} and {high}.")


def _check_num_cases(value: int) -> None:
    """The gate compares from 24 common answers on (finetune/gate.py); fewer would never pass."""
    if not LEAST_CASES <= value <= 176:
        raise SettingsError(
            f"num_cases is {value}; it must be between {LEAST_CASES} and 176: the gate needs "
            f"{LEAST_CASES} questions that both adapters answered, and 176 exist."
        )


def _raise_num_cases(values: Mapping[str, Any]) -> dict[str, Any]:
    """8 to 23 were allowed once; who has that set shall not find the application refusing it."""
    value = values.get("num_cases", LEAST_CASES)
    if not 8 <= value < LEAST_CASES:
        return {}
    logger.warning(
        "num_cases is %d; %d is used: the gate needs %d questions that both adapters answered.",
        *(value, LEAST_CASES, LEAST_CASES),
    )
    return {"num_cases": LEAST_CASES}


def _check_root_path(path: str) -> None:
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise SettingsError(
            f"root_path is {path!r}; it must begin with a slash and end without one, such as /eco."
        )


def _check_networks(name: str, values: Sequence[str]) -> None:
    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise SettingsError(
                f"{name} has {value!r}; give addresses or networks such as 127.0.0.1 or 10.0.0.0/8."
            ) from None


def _default(entry: Field[Any]) -> Any:
    assert entry.default is not MISSING
    return entry.default


def _convert(entry: Field[Any], value: Any, source: str) -> Any:
    """A value of TOML, environment or flag as the field's own type."""
    default = _default(entry)
    try:
        if isinstance(default, bool):
            return _to_bool(value)
        if isinstance(default, tuple):
            items = value.split(",") if isinstance(value, str) else value
            return tuple(str(item).strip() for item in items if str(item).strip())
        if isinstance(value, bool):
            raise ValueError("a number or text is needed")
        return type(default)(value) if not isinstance(default, Path) else Path(value).expanduser()
    except (TypeError, ValueError) as error:
        kind = type(default).__name__
        raise SettingsError(
            f"{entry.name} is {value!r} in {source}; it must be of type {kind}."
        ) from error


def _to_bool(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise ValueError("true or false is needed")
    return words[str(value).lower()]


def read_file(path: Path) -> dict[str, Any]:
    """Values of a settings file by field; unknown names and sections are errors."""
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}.") from error
    known = {entry.name: entry for entry in fields(Settings)}
    values: dict[str, Any] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{section} stands outside a section in {path.name}.")
        for name, value in table.items():
            if name not in known or known[name].metadata["section"] != section:
                raise SettingsError(f"[{section}] {name} in {path.name} is no setting.")
            values[name] = _convert(known[name], value, path.name)
    return values


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Values of ECOLOOP_… variables by field."""
    return {
        entry.name: _convert(entry, environ[name], name)
        for entry in fields(Settings)
        if (name := PREFIX + entry.name.upper()) in environ
    }


def add_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """One flag for each named field (all when none is named), with its default in the help."""
    for entry in fields(Settings):
        if (names and entry.name not in names) or entry.name in SECRETS:
            continue
        flag = "--" + entry.name.replace("_", "-")
        default = _default(entry)
        text = f"{entry.metadata['help']} (default: {_show(default)})".replace("%", "%%")
        if isinstance(default, bool):
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=None, help=text
            )
        else:
            choices = entry.metadata["choices"] or None
            metavar = None if choices else _METAVARS[type(default)]
            parser.add_argument(flag, choices=choices, metavar=metavar, default=None, help=text)


_METAVARS: Final = {str: "TEXT", int: "N", float: "X", tuple: "LIST", type(Path()): "DIR"}


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value == () or value == "":
        return "none"
    return str(value)


def read_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """Values of the flags that were given, by field."""
    return {
        entry.name: _convert(entry, value, f"--{entry.name.replace('_', '-')}")
        for entry in fields(Settings)
        if (value := getattr(arguments, entry.name, None)) is not None
    }


def load_settings(
    arguments: argparse.Namespace, environ: Mapping[str, str], path: Path = ROOT / "settings.toml"
) -> Settings:
    """Defaults, then the file, then the environment, then the flags; data_dir is absolute."""
    values = read_file(path) | read_environment(environ) | read_flags(arguments)
    values |= _raise_num_cases(values)
    values["data_dir"] = Path(values.get("data_dir", Settings.data_dir)).expanduser().resolve()
    return Settings(**values)
