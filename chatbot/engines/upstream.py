"""HTTP to one vLLM server: answers as a stream of chunks, adapters, log-probabilities.

Every request is built here from an allow-list of fields, because vLLM takes many more than anyone
outside may set.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx

from chatbot.engines.base import AdapterRef, Chunk, EngineError, FinishReason, Sampling
from chatbot.engines.sse import BrokenEvents, SseDecoder
from chatbot.engines.transport import Body, Place, StreamTransport, render_head
from chatbot.engines.vllm_server import BASE_NAME, Timeouts
from chatbot.prompts import PROBE_MESSAGES, Message

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "abort": "abort",
    "error": "error",
    "repetition": "repetition",
}
# What vLLM says when its engine is gone: 0.32 in its log's words, 0.33 in one sentence for clients.
_DEAD_ENGINE: Final = ("EngineDead", "EngineCore", "The server had an error while processing your")
_END_TIMEOUT_S: Final = 0.2
# Ends answers that go round in circles: eight times the same one to twenty tokens.
_REPETITION: Final = {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 8}


@dataclass(frozen=True)
class ServedModel:
    """One entry of the server's model list: the base, or an adapter with its folder."""

    name: str
    root: str
    is_adapter: bool
    max_model_len: int | None


def build_chat_request(
    messages: Sequence[Message],
    adapter: str | None,
    sampling: Sampling,
    schema: dict[str, Any] | None,
    template_kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of one streamed chat request; nothing else ever goes upstream."""
    body: dict[str, Any] = {
        "model": adapter or BASE_NAME,
        "messages": [{"role": item["role"], "content": item["content"]} for item in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
        "repetition_detection": _REPETITION,
        "chat_template_kwargs": dict(template_kwargs),
    }
    if schema is not None:
        json_schema = {"name": "answer", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return body


class Upstream:
    """One server. All methods raise EngineError only."""

    def __init__(self, url: str, api_key: str, timeouts: Timeouts) -> None:
        self.url = url.rstrip("/")
        self._timeouts = timeouts
        self._transport = StreamTransport()
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(None, connect=timeouts.connect_s),
            transport=self._transport,
        )
        asked = self._client.build_request(
            "POST", "/v1/chat/completions", headers={"Content-Type": "application/json"}
        )
        self._head = render_head(asked, without=b"content-length")
        self._place = Place(asked.url.copy_with(raw_path=b"/"), timeouts.connect_s)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def is_healthy(self) -> bool:
        """Whether the server and its engine answer."""
        try:
            async with asyncio.timeout(self._timeouts.health_s):
                response = await self._client.get("/health")
        except (httpx.HTTPError, TimeoutError):
            return False
        return response.status_code == 200

    async def models(self) -> list[ServedModel]:
        """The base and the adapters that the server knows."""
        reply = await self._request("GET", "/v1/models", None, self._timeouts.health_s)
        if not isinstance(reply.get("data"), list):
            raise EngineError(
                "refused", f"{self.url} does not answer as a vLLM server does. Check the URL."
            )
        return [
            ServedModel(
                name=str(item["id"]),
                root=str(item.get("root") or ""),
                is_adapter=bool(item.get("parent")),
                max_model_len=item.get("max_model_len"),
            )
            for item in reply["data"]
        ]

    async def load(self, adapter: AdapterRef) -> None:
        """Load the adapter; one that is there already from the same folder is no error."""
        body = {"lora_name": adapter.name, "lora_path": str(adapter.path)}
        try:
            await self._request("POST", "/v1/load_lora_adapter", body, self._timeouts.load_s)
        except EngineError as error:
            if error.code not in ("refused", "unknown_adapter"):
                raise
            if await self._serves(adapter):
                return
            raise EngineError(
                "bad_adapter", f"Adapter {adapter.name} was refused by the server: {error}"
            ) from error

    async def unload(self, name: str) -> None:
        """Forget the name; unknown ones are no error."""
        try:
            body = {"lora_name": name}
            await self._request("POST", "/v1/unload_lora_adapter", body, self._timeouts.load_s)
        except EngineError as error:
            if error.code not in ("refused", "unknown_adapter"):
                raise

    async def score(
        self,
        adapter: str | None,
        template_kwargs: Mapping[str, Any],
        messages: Sequence[Message] = PROBE_MESSAGES,
    ) -> list[float]:
        """Log-probabilities of the tokens of these messages, the very first one left out. Where the
        last message is the user's, the beginning of an answer is part of it.
        """
        body = {
            "model": adapter or BASE_NAME,
            "messages": [{"role": item["role"], "content": item["content"]} for item in messages],
            "add_generation_prompt": messages[-1]["role"] == "user",
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
            "chat_template_kwargs": dict(template_kwargs),
        }
        reply = await self._request("POST", "/v1/chat/completions", body, self._timeouts.score_s)
        positions = reply.get("prompt_logprobs") or []
        return [float(next(iter(item.values()))["logprob"]) for item in positions if item]

    async def sleep(self, level: int) -> None:
        """Let answers in flight end, then give memory back."""
        path = f"/sleep?level={level}&mode=wait"  # the default mode would break answers off
        await self._request("POST", path, None, self._timeouts.sleep_s)

    async def wake(self) -> None:
        """Take the memory again; it is an error if not all of it came back."""
        reply = await self._request("POST", "/wake_up", None, self._timeouts.sleep_s)
        if reply.get("status", "awake") != "awake":
            raise EngineError("died", "The model server did not wake up.")

    async def count_tokens(
        self, messages: Sequence[Message], template_kwargs: Mapping[str, Any]
    ) -> int:
        """Tokens of the prompt, with the beginning of an answer."""
        body = {
            "model": BASE_NAME,
            "messages": [{"role": item["role"], "content": item["content"]} for item in messages],
            "add_generation_prompt": True,
            "chat_template_kwargs": dict(template_kwargs),
        }
        reply = await self._request("POST", "/tokenize", body, self._timeouts.score_s)
        return int(reply["count"])

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        """The answer as it comes; closing the iterator makes the server abort it."""
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        try:
            async with asyncio.timeout(self._timeouts.first_token_s):
                status, answer = await self._transport.post(self._place, self._head, content)
        except TimeoutError:
            raise _timed_out("the first word", self._timeouts.first_token_s) from None
        except httpx.HTTPError as error:
            raise _transport_error(error) from error
        try:
            if status != 200:
                raise _status_error(status, await _read_error(answer))
            async with aclosing(self._chunks(answer)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            await answer.aclose()

    async def _chunks(self, body: Body) -> AsyncGenerator[Chunk]:
        decoder, answer = SseDecoder(), _Answer()
        received = aiter(body)
        loop = asyncio.get_running_loop()
        limit_s, waited_for = self._timeouts.first_token_s, "the first word"
        deadline = loop.time() + limit_s
        while not answer.is_done:
            try:
                async with asyncio.timeout_at(deadline):
                    events = decoder.feed(await anext(received))
            except TimeoutError:
                raise _timed_out(waited_for, limit_s) from None
            except StopAsyncIteration:
                raise EngineError(
                    "broken_stream", "The answer ended before it was complete. Try again."
                ) from None
            except (BrokenEvents, httpx.HTTPError) as error:
                raise _transport_error(error) from error
            text = "".join(map(answer.take, events))
            if text:
                yield Chunk(text)
                limit_s, waited_for = self._timeouts.between_tokens_s, "the next word"
                deadline = loop.time() + limit_s
        await _read_end(received)
        yield answer.last_chunk()

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float
    ) -> dict[str, Any]:
        """The JSON object that came, or an empty one where the server says it in other ways."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.request(method, path, json=body)
        except TimeoutError:
            raise _timed_out(path, timeout_s) from None
        except httpx.HTTPError as error:
            raise _transport_error(error) from error
        if response.status_code != 200:
            raise _status_error(response.status_code, response.text)
        try:
            value = response.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    async def _serves(self, adapter: AdapterRef) -> bool:
        known = {model.name: model.root for model in await self.models()}
        return known.get(adapter.name) == str(adapter.path)


class _Answer:
    """What is known of one answer so far."""

    def __init__(self) -> None:
        self.is_done = False
        self._finish_reason: FinishReason | None = None
        self._usage: Mapping[str, Any] = {}

    def take(self, data: str) -> str:
        """The text in one event; raises EngineError for an error event or anything malformed."""
        if data == "[DONE]":
            self.is_done = True
            return ""
        try:
            event = json.loads(data)
            if "error" in event:
                raise _event_error(event["error"])
            self._usage = event.get("usage") or self._usage
            return "".join(self._read_choice(choice) for choice in event["choices"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineError(
                "broken_stream", "The model server sent something unreadable. Try again."
            ) from error

    def _read_choice(self, choice: Mapping[str, Any]) -> str:
        reason = choice.get("finish_reason")
        if reason:
            self._finish_reason = _FINISH_REASONS.get(reason, "stop")
        return str(choice["delta"].get("content") or "")

    def last_chunk(self) -> Chunk:
        """What closes the answer."""
        if self._finish_reason is None:
            raise EngineError(
                "broken_stream", "The answer ended before it was complete. Try again."
            )
        return Chunk(
            "",
            self._finish_reason,
            self._usage.get("prompt_tokens"),
            self._usage.get("completion_tokens"),
        )


async def _read_end(received: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body, which comes right after the last event: only then may the
    connection be used again, and a new one would cost the next answer a millisecond.
    """
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_END_TIMEOUT_S):
            async for _ in received:
                pass


async def _read_error(body: Body) -> str:
    try:
        async with asyncio.timeout(5):
            return b"".join([piece async for piece in body]).decode("utf-8", "replace")
    except (TimeoutError, httpx.HTTPError):
        return ""


def _timed_out(waited_for: str, limit_s: float) -> EngineError:
    return EngineError(
        "timed_out", f"The model server gave no answer for {waited_for} within {limit_s:g} s."
    )


def _transport_error(error: Exception) -> EngineError:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return EngineError("not_ready", "The model server cannot be reached. It may be starting.")
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return EngineError("died", "The model server broke off. It is started again; try again.")
    return EngineError("broken_stream", f"The model server sent something unreadable ({error}).")


def _status_error(status: int, text: str) -> EngineError:
    """The server's refusal as one of our codes, with its own words shortened."""
    said = _message_of(text)
    if status == 404:
        return EngineError("unknown_adapter", f"The model server does not know it: {said}")
    if status in (400, 422) and "maximum context length" in said:
        return EngineError("too_long", f"The conversation is too long for this model: {said}")
    if status == 503:
        return EngineError("not_ready", f"The model server is not ready: {said}")
    if status in (500, 502, 504) and any(words in text for words in _DEAD_ENGINE):
        return EngineError("died", "The model engine stopped. It is started again; try again.")
    return EngineError("refused", f"The model server refused with {status}: {said}")


def _event_error(error: Any) -> EngineError:
    said = _message_of(json.dumps({"error": error}))
    if any(words in said for words in _DEAD_ENGINE):
        return EngineError("died", "The model engine stopped. It is started again; try again.")
    return EngineError("broken_stream", f"The model server stopped in the middle: {said}")


def _message_of(text: str) -> str:
    try:
        value = json.loads(text)
        error = value.get("error", value)
        message = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        message = text
    return str(message).strip()[:300] or "it gave no reason."
