"""Which base model answers: the short names, folders and hub ids people may give, and what each
needs.

`resolve` is quick and touches no network. `prepare` brings the files here and returns a local
folder that both vLLM and the trainer load as it is, with the cures that known models need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

STARTER_DIR: Final = Path(__file__).resolve().parents[1] / "assets" / "starter-model"

SHORT_NAMES: Final[Mapping[str, str]] = {
    "starter": str(STARTER_DIR),
    "kanana": "kakaocorp/kanana-1.5-2.1b-instruct-2505",
    "gemma": "google/gemma-3-1b-it",
    "mistral": "mistralai/Mistral-7B-Instruct-v0.3",
    "qwen": "Qwen/Qwen3-1.7B",
}

# Mistral's repositories hold the weights twice, once in Mistral's own format, and vLLM would
# take that one, whose tokenizer has no chat template and whose adapters have other names.
_HF_FORMAT_ARGS: Final = (
    *("--tokenizer-mode", "hf"),
    *("--config-format", "hf"),
    *("--load-format", "safetensors"),
)
_NOT_NEEDED: Final = ("consolidated*", "original/*", "*.pth", "*.gguf", "*.onnx", "*.bin", "*.h5")
# Tokens that no text contains, in the vocabularies of models that ship without a pad token.
_SPARE_TOKENS: Final = (
    "<pad>",
    "<|pad|>",
    "[PAD]",
    "<|finetune_right_pad_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<unk>",
    "[control_8]",
)
_HUB_ID: Final = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


class BaseModelError(ValueError):
    """The base model cannot be used. `code` is stable: missing_folder, broken_folder, gated_model,
    unknown_model, no_network. The message is a sentence that says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class BaseModel:
    """A base model and what serving and training must know about it."""

    name: str  # as people see it: the short name, hub id or folder name
    path_or_hub_id: str  # an absolute folder once prepared
    revision: str | None = None  # the hub's commit; None for a folder of one's own
    vllm_args: tuple[str, ...] = ()
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    config_override: Mapping[str, Any] = field(default_factory=dict)  # keys of config.json to set

    @property
    def is_local(self) -> bool:
        """Whether the files are in a folder of this machine."""
        return Path(self.path_or_hub_id).is_absolute()


def resolve(name: str, revision: str | None = None) -> BaseModel:
    """The base model for a short name, a folder or a hub id; raises BaseModelError."""
    wanted = name.strip()
    target = SHORT_NAMES.get(wanted, wanted)
    folder = Path(target).expanduser()
    if wanted and folder.is_dir():
        shown = wanted if wanted in SHORT_NAMES else folder.resolve().name
        return _describe(BaseModel(shown, str(folder.resolve())))
    if _looks_like_folder(target):
        raise BaseModelError("missing_folder", _missing_folder_sentence(wanted, folder))
    return BaseModel(wanted, target, revision)


def prepare(model: BaseModel, work_dir: Path) -> BaseModel:
    """The same model as a local folder, downloaded and cured where needed.

    Cured copies stand in work_dir and consist of links to the weights plus a changed config.json.
    """
    local = model if model.is_local else _download(model)
    described = _describe(local)
    if not described.config_override:
        return described
    cured = _cured_copy(described, work_dir)
    return replace(described, path_or_hub_id=str(cured), config_override={})


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder; raises BaseModelError when it is missing or no JSON."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaseModelError(
            "broken_folder",
            f"{folder} has no config.json, so it is no model folder. Give the folder that holds "
            "config.json, the tokenizer and the .safetensors files.",
        ) from None
    except (OSError, ValueError) as error:
        raise BaseModelError(
            "broken_folder", f"{path} cannot be read ({error}). Copy the model again."
        ) from error
    if not isinstance(config, dict):
        raise BaseModelError("broken_folder", f"{path} is no JSON object. Copy the model again.")
    return config


def find_pad_token(folder: Path) -> str | None:
    """A pad token that is not the end token, or None if the vocabulary has none to spare.

    Padding with the end token teaches some trainers to forget it: answers then never end.
    """
    settings = _read_json(folder / "tokenizer_config.json")
    eos, pad = _token_text(settings.get("eos_token")), _token_text(settings.get("pad_token"))
    if pad and pad != eos:
        return pad
    tokenizer = _read_json(folder / "tokenizer.json")
    added = {str(token.get("content")) for token in tokenizer.get("added_tokens", [])}
    known = added | set(tokenizer.get("model", {}).get("vocab", {}))
    return next((token for token in _SPARE_TOKENS if token in known and token != eos), None)


def _token_text(token: Any) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _looks_like_folder(target: str) -> bool:
    return target.startswith((".", "/", "~", "\\")) or not _HUB_ID.fullmatch(target)


def _missing_folder_sentence(wanted: str, folder: Path) -> str:
    if wanted == "starter":
        return (
            f"The starter model is missing at {folder}. Restore it with `git checkout "
            "assets/starter-model`, or give another model with --model."
        )
    return (
        f"There is no model folder {wanted!r}. Give an existing folder, a hub id such as "
        f"{SHORT_NAMES['qwen']}, or one of {', '.join(SHORT_NAMES)}."
    )


def _describe(model: BaseModel) -> BaseModel:
    """Read from the folder's files what the model needs."""
    folder = Path(model.path_or_hub_id)
    config = read_config(folder)
    if not any(folder.glob("*.safetensors")):
        raise BaseModelError(
            "broken_folder",
            f"{folder} has no .safetensors file. Only safetensors weights are loaded; convert the "
            "model, or copy the missing files.",
        )
    model_type = str(config.get("model_type", ""))
    is_mistral_format = any(folder.glob("consolidated*.safetensors")) or model_type == "mistral"
    thinks = model_type.startswith("qwen3")
    return replace(
        model,
        vllm_args=_HF_FORMAT_ARGS if is_mistral_format else (),
        chat_template_kwargs={"enable_thinking": False} if thinks else {},
        config_override=_cure(config),
    )


def _cure(config: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to config.json without which the model does not load.

    transformers' LlamaConfig refuses a hidden size that the heads do not divide, although
    head_dim says how wide they are (Kanana-1.5-2.1B: 1792 and 24 heads of 128). A Mistral without
    a sliding window computes exactly the same.
    """
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if config.get("model_type") != "llama" or not hidden or not heads or hidden % heads == 0:
        return {}
    return {
        "model_type": "mistral",
        "architectures": ["MistralForCausalLM"],
        "sliding_window": None,
    }


def _cured_copy(model: BaseModel, work_dir: Path) -> Path:
    """Links to the files and a changed config.json. What is right already is left alone, because
    the server and a training run may both be reading it.
    """
    source = Path(model.path_or_hub_id)
    target = work_dir.resolve() / f"{source.parent.name}--{source.name}"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.name != "config.json" and not path.is_dir():
            _link(target / path.name, path.resolve())
    config = read_config(source) | dict(model.config_override)
    text = json.dumps(config, ensure_ascii=False, indent=2)
    written = target / "config.json"
    if not written.exists() or written.read_text(encoding="utf-8") != text:
        temporary = target / "config.json.new"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(written)
    return target


def _link(link: Path, file: Path) -> None:
    if link.exists() and link.samefile(file):
        return
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(file)
    except OSError:  # Windows without the right to link
        link.hardlink_to(file)


def _download(model: BaseModel) -> BaseModel:
    """The hub's files as a local folder; what is there already is not fetched again."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            model.path_or_hub_id, revision=model.revision, ignore_patterns=list(_NOT_NEEDED)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _download_error(model, error) from error
    return replace(model, path_or_hub_id=folder, revision=Path(folder).name)


def _download_error(model: BaseModel, error: Exception) -> BaseModelError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    hub_id = model.path_or_hub_id
    if isinstance(error, GatedRepoError):
        return BaseModelError(
            "gated_model",
            f"{hub_id} is a gated model. Accept its terms at https://huggingface.co/{hub_id}, then "
            "run `hf auth login` (or set HF_TOKEN) and start again.",
        )
    if isinstance(error, RepositoryNotFoundError):
        return BaseModelError(
            "unknown_model",
            f"The hub has no model {hub_id!r}, or it is private. Check the name, or run "
            "`hf auth login` (or set HF_TOKEN) if it is yours.",
        )
    return BaseModelError(
        "no_network",
        f"{hub_id} could not be downloaded ({type(error).__name__}). Check the network, or give a "
        "local folder with --model; `--model starter` needs no download.",
    )
