"""A causal language model in this process: what runs in the transformers engine's one thread.

Importing this imports torch. Nothing here is safe to call from two threads at once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import llguidance
import llguidance.hf
import numpy as np
import torch
from peft import PeftConfig, PeftModel
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils.logging import disable_progress_bar

from chatbot.engines.base import AdapterRef, Chunk, EngineError, FinishReason, Sampling
from chatbot.engines.model_config import find_context_window, needs_wide_numbers
from chatbot.engines.repetition import goes_round
from chatbot.engines.transformers import GenerateJob, TransformersSettings
from chatbot.prompts import PROBE_MESSAGES, Message


class TorchModel:
    """The base model with its tokenizer, and the adapters on top of it."""

    def __init__(self, settings: TransformersSettings) -> None:
        path = settings.model
        disable_progress_bar()
        torch.set_num_threads(settings.num_threads)
        self._device = _pick_device()
        self._context_window = find_context_window(path, settings.max_model_len)
        self._template_kwargs = dict(settings.chat_template_kwargs)
        options = {"local_files_only": Path(path).is_absolute(), "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(path, **options)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=_pick_dtype(path), **options)
        self._base = model.to(self._device).eval()
        self._with_adapters: Any = None  # the PeftModel around it, once there is an adapter
        self._end_ids = self._find_end_ids()
        self._guide = llguidance.hf.from_tokenizer(
            self._tokenizer,
            n_vocab=self._base.config.get_text_config().vocab_size,
            eos_token=sorted(self._end_ids),
        )

    def load(self, adapter: AdapterRef) -> None:
        """Put the adapter's weights beside the others; raises EngineError (bad_adapter)."""
        folder = str(adapter.path)
        try:
            with warnings.catch_warnings():
                # Missing and unexpected names are warnings here; the probe judges what came.
                warnings.simplefilter("ignore")
                if self._with_adapters is None:
                    config = PeftConfig.from_pretrained(folder)
                    self._with_adapters = PeftModel(self._base, config, adapter.name)
                self._with_adapters.load_adapter(folder, adapter_name=adapter.name)
        except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
            self.unload(adapter.name)
            reason = " ".join(str(error).split())[:200]
            raise EngineError(
                "bad_adapter", f"Adapter {adapter.name} does not fit this base model: {reason}"
            ) from error
        self._with_adapters.eval()

    def unload(self, name: str) -> None:
        """Forget the adapter's weights."""
        if self._with_adapters is None or name not in self._with_adapters.peft_config:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says which one is active next; each answer sets it
            self._with_adapters.delete_adapter(name)
        if not self._with_adapters.peft_config:
            self._base = self._with_adapters.unload()
            self._with_adapters = None

    def score(
        self, adapter: str | None, messages: Sequence[Message] = PROBE_MESSAGES
    ) -> list[float]:
        """Log-probabilities of the tokens of these messages, the very first one left out. Where the
        last message is the user's, the beginning of an answer is part of it.
        """
        ids = torch.tensor([self._encode(messages)], device=self._device)
        with self._speaking(adapter), torch.inference_mode():
            logits = self._base(input_ids=ids).logits[0, :-1].float()
        chosen = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])
        return [float(value) for value in chosen[:, 0]]

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt, with the beginning of an answer."""
        return len(self._encode(messages))

    def generate(self, job: GenerateJob) -> Iterator[Chunk]:
        """The answer, token by token; ends early when the job is cancelled."""
        prompt = self._encode(job.messages)
        most = min(job.sampling.max_tokens, self._context_window - len(prompt))
        if most < 1:
            raise EngineError(
                "too_long",
                f"The conversation has {len(prompt)} tokens, and this model takes "
                f"{self._context_window} with its answer. Start a new one or write less.",
            )
        guide = self._new_guide(job.schema) if job.schema is not None else None
        written: list[int] = []
        decoder = DecodeStream(skip_special_tokens=True)
        reason: FinishReason = "length"
        for token in self._tokens(job, prompt, guide):
            if token in self._end_ids:
                reason = "stop"
                break
            written.append(token)
            text = decoder.step(self._tokenizer.backend_tokenizer, token)
            if text:
                yield Chunk(text)
            if goes_round(written):
                reason = "repetition"
            elif guide is not None and guide.is_stopped():
                reason = "stop"
            elif len(written) < most:
                continue
            break
        yield Chunk("", "abort" if job.cancelled.is_set() else reason, len(prompt), len(written))

    def _tokens(self, job: GenerateJob, prompt: list[int], guide: Any) -> Iterator[int]:
        picker = _Picker(job.sampling, self._device)
        cache, ids = DynamicCache(config=self._base.config), prompt
        with self._speaking(job.adapter):
            while not job.cancelled.is_set():
                logits = self._step(ids, cache)
                if guide is not None:
                    logits = _allow_only(logits, guide)
                token = picker.pick(logits)
                if guide is not None and token not in self._end_ids:
                    guide.consume_token(token)
                yield token
                ids = [token]

    def _step(self, ids: list[int], cache: Any) -> Any:
        inputs = torch.tensor([ids], device=self._device)
        with torch.inference_mode():
            output = self._base(
                input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        return output.logits[0, -1].float()

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        encoded = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            add_generation_prompt=messages[-1]["role"] == "user",
            return_dict=True,
            **self._template_kwargs,
        )
        return list(encoded["input_ids"])

    def _speaking(self, adapter: str | None) -> AbstractContextManager[Any]:
        """Make the adapter, or the bare base, the one that computes."""
        if self._with_adapters is None:
            return nullcontext()
        if adapter is None or adapter not in self._with_adapters.peft_config:
            return self._with_adapters.disable_adapter()  # type: ignore[no-any-return]
        if self._with_adapters.active_adapter != adapter:
            self._with_adapters.set_adapter(adapter)
        return nullcontext()

    def _new_guide(self, schema: dict[str, Any]) -> Any:
        # The same settings as the server's: no free whitespace, keys in the order of properties.
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json.dumps(schema), defaults={"whitespace_flexible": False}
        )
        guide = llguidance.LLMatcher(self._guide, grammar)
        if guide.is_error():
            raise EngineError("refused", f"The JSON schema cannot be used: {guide.get_error()}")
        return guide

    def _find_end_ids(self) -> frozenset[int]:
        known = self._base.generation_config.eos_token_id
        ids = known if isinstance(known, list) else [known]
        return frozenset(id_ for id_ in (*ids, self._tokenizer.eos_token_id) if id_ is not None)


class _Picker:
    """Draws the next token as Sampling says."""

    def __init__(self, sampling: Sampling, device: str) -> None:
        self._sampling = sampling
        self._random = torch.Generator(device=device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def pick(self, logits: Any) -> int:
        if self._sampling.temperature <= 0:
            return int(logits.argmax())
        chances = torch.softmax(logits / self._sampling.temperature, dim=-1)
        if self._sampling.top_p < 1:
            ordered, places = chances.sort(descending=True)
            # What comes before a token decides, so that the first one is always kept.
            ordered[ordered.cumsum(0) - ordered >= self._sampling.top_p] = 0.0
            drawn = torch.multinomial(ordered, 1, generator=self._random)
            return int(places[drawn])
        return int(torch.multinomial(chances, 1, generator=self._random))


def _allow_only(logits: Any, guide: Any) -> Any:
    """The logits with everything that the grammar forbids at minus infinity."""
    bits = np.frombuffer(guide.compute_bitmask(), dtype=np.uint8)
    if guide.is_error():
        raise EngineError("refused", f"The JSON schema cannot be followed: {guide.get_error()}")
    allowed = np.unpackbits(bits, bitorder="little")[: logits.shape[0]].astype(bool)
    mask = torch.zeros(logits.shape[0], dtype=torch.bool)
    mask[: allowed.shape[0]] = torch.from_numpy(allowed)
    return logits.masked_fill(~mask.to(logits.device), float("-inf"))


def _pick_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _pick_dtype(model: str) -> Any:
    """bfloat16 where the hardware has it (torch counts emulation as support, so ask the card)."""
    device = _pick_device()
    if device == "cuda" and torch.cuda.get_device_capability() >= (8, 0):
        return torch.bfloat16
    return torch.float32 if device == "cpu" or needs_wide_numbers(model) else torch.float16
