"""A small real HTTP server that answers as vLLM does, and goes wrong as it is told to.

Runs in a thread of the test, or as a process that stands for vLLM's.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANSWER = "산에서 \u2028쓰레기를 \x85줍는 🧑‍🌾 힐링"
_ENGINE_GONE = "The server had an error while processing your request."
FAULTS = (
    "silence",  # the connection opens, and nothing comes
    "drip",  # comments for ever, never a word
    "stall",  # a word, then nothing
    "cut",  # the connection breaks in the middle of a syllable
    "short",  # the stream ends in order, but before the answer is complete
    "not_json",
    "not_utf8",
    "no_choices",
    "error_event",
    "engine_dead",  # vLLM 0.32's words in the stream
    "engine_gone",  # vLLM 0.33's
    "status_engine_gone",
    "status_500",
    "status_503",
    "too_long",
    "no_head",  # the request is read, and not even a status comes
    "slow",  # a letter now and then
    "endless",  # words for ever
    "empty",  # a whole stream without a word
    "one_line",  # bytes for ever, never the end of a line
    "reordered",  # bytes in the smallest pieces, with comments and carriage returns between
)


@dataclass
class Behaviour:
    """What the server does. Tests change it while it runs."""

    fault: str = ""
    load_fault: str = ""  # "hang", "refuse", "no_effect"
    healthy: bool = True
    is_dead: bool = False  # open connections break off, too
    slow_s: float = 0.1  # between two letters of "slow"
    is_vllm: bool = True
    forgets: bool = False  # after waking it says something else than before
    has_forgotten: bool = False
    adapters: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    broken_off: threading.Event = field(default_factory=threading.Event)  # the client went away
    answering: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)  # for "stall"


class FakeOpenAI:
    """The server in a thread; a context manager."""

    def __init__(self, port: int = 0) -> None:
        self.behaviour = Behaviour()
        behaviour = self.behaviour

        class Handler(_Handler):
            shown = behaviour

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeOpenAI:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let every answer end and listen no more; again is no error."""
        self.behaviour.is_dead = True
        self.behaviour.may_go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shown: Behaviour

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        if self.shown.is_dead:
            self.close_connection = True
            return
        if self.path == "/health":
            self._reply(200 if self.shown.healthy else 503, {})
        elif self.path == "/v1/models":
            base = {"id": "base", "root": "/models/base", "parent": None, "max_model_len": 1024}
            known = [
                {"id": name, "root": root, "parent": "base", "max_model_len": None}
                for name, root in self.shown.adapters.items()
            ]
            self._reply(200, {"data": [base, *known]} if self.shown.is_vllm else {"hello": 1})

    def do_POST(self) -> None:
        if self.shown.is_dead:
            self.close_connection = True
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        self.shown.requests.append((self.path, body))
        if self.path.startswith("/sleep"):
            self._reply(200, {"status": "sleeping"})
        elif self.path == "/wake_up":
            self.shown.has_forgotten = self.shown.forgets
            self._reply(200, {"status": "awake"})
        elif self.path == "/v1/load_lora_adapter":
            self._load(body["lora_name"], body["lora_path"])
        elif self.path == "/v1/unload_lora_adapter":
            if self.shown.load_fault == "hang":
                self.shown.may_go_on.wait(30)
            known = self.shown.adapters.pop(body["lora_name"], None)
            self._reply(200 if known else 404, {})
        elif "prompt_logprobs" in body:
            self._score(body["model"])
        elif body["model"] != "base" and body["model"] not in self.shown.adapters:
            self._fail(404, f"The model `{body['model']}` does not exist.")
        else:
            self._answer(self.shown.fault or _named_fault(body))

    def _load(self, name: str, path: str) -> None:
        if self.shown.load_fault == "hang":
            self.shown.may_go_on.wait(30)
        elif self.shown.load_fault == "refuse":
            return self._fail(500, "Call to add_lora method failed: rank 99 is too high")
        if name in self.shown.adapters:
            return self._fail(400, f"The lora adapter '{name}' has already been loaded.")
        self.shown.adapters[name] = path
        return self._reply(200, {})

    def _score(self, model: str) -> None:
        differs = model != "base" and self.shown.load_fault != "no_effect"
        logprob = (-2.5 if differs else -2.0) - self.shown.has_forgotten
        positions = [None, *({str(token): {"logprob": logprob}} for token in range(8))]
        self._reply(200, {"prompt_logprobs": positions, "choices": []})

    def _answer(self, fault: str) -> None:
        self.shown.answering.set()
        if fault == "status_500":
            return self._fail(500, "Internal Server Error")
        if fault == "status_engine_gone":
            return self._fail(500, _ENGINE_GONE)
        if fault == "status_503":
            return self._fail(503, "draining")
        if fault == "no_head":
            return self._wait_for_the_end()
        if fault == "too_long":
            return self._fail(400, "This model's maximum context length is 1024 tokens.")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in self._pieces(fault):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
        except OSError:
            self.shown.broken_off.set()
            return None
        if fault != "cut":
            self.wfile.write(b"0\r\n\r\n")
            return None
        self.close_connection = True
        return None

    def _pieces(self, fault: str) -> Iterator[bytes]:
        if fault == "silence":
            self._wait_for_the_end()
            return
        if fault == "drip":
            yield from self._drip(b": keep-alive\n\n")
        if fault == "one_line":
            yield from self._drip(b"data: " + b"x" * 300_000)
        if fault == "endless":
            yield from self._drip(_event(_delta("끝이 없는 이야기 " * 200)))
        if fault == "slow":
            yield from self._drip(_event(_delta("산")), self.shown.slow_s)
        whole = b"".join(_events(fault))
        if fault == "cut":
            yield whole[: whole.index("쓰".encode()) + 1]
        elif fault == "stall":
            yield whole[: whole.index(b"\n\n") + 2] + _event(_delta("산"))
            self._wait_for_the_end()
        elif fault == "reordered":
            text = b": keep-alive\n\nevent: message\n" + whole.replace(b"\n", b"\r\n")
            yield from (bytes([byte]) for byte in text)
        else:
            yield whole

    def _drip(self, piece: bytes, every_s: float = 0.05) -> Iterator[bytes]:
        while not self.shown.may_go_on.wait(every_s):
            yield piece

    def _wait_for_the_end(self) -> None:
        """Until the test lets it go on or the client closes the connection."""
        self.connection.settimeout(0.02)
        while not self.shown.may_go_on.wait(0.02):
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    self.shown.broken_off.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.shown.broken_off.set()
                return

    def _fail(self, status: int, message: str) -> None:
        self._reply(status, {"error": {"message": message, "type": "Error", "code": status}})

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _named_fault(body: dict[str, Any]) -> str:
    """Where the server is a process: the fault that the question names, as in "(stall)"."""
    asked = str(body["messages"][-1]["content"]) if body["messages"] else ""
    return next((fault for fault in FAULTS if f"({fault})" in asked), "")


def _events(fault: str) -> Iterator[bytes]:
    yield _event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    if fault == "not_json":
        yield b'data: {"choices": [{"del\n\n'
    if fault == "not_utf8":
        yield b'data: {"choices": \xff\xfe\n\n'
    if fault == "no_choices":
        yield _event({"object": "something else"})
    if fault == "error_event":
        yield _event({"error": {"message": "grammar failed", "code": 400}})
    if fault == "engine_dead":
        yield _event({"error": {"message": "EngineCore encountered an issue.", "code": 500}})
    if fault == "engine_gone":
        yield _event({"error": {"message": _ENGINE_GONE, "code": 500}})
    for char in "" if fault == "empty" else ANSWER:
        yield _event(_delta(char))
    if fault == "short":
        return
    yield _event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    yield _event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}})
    yield b"data: [DONE]\n\n"


def _delta(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": None}]}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


FAKE_PACKAGE = {
    "vllm/__init__.py": "",
    "vllm/platforms.py": "class Platform: pass\ncurrent_platform = Platform()\n",
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/openai/__init__.py": "",
    "vllm/entrypoints/openai/api_server.py": (
        "from tests.chatbot.engines.fake_openai import main\n"
        "if __name__ == '__main__':\n    main()\n"
    ),
}


def write_fake_vllm(folder: Path) -> Path:
    """A package named vllm that serves as this file does; put the folder on PYTHONPATH."""
    for name, text in FAKE_PACKAGE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def main() -> None:
    """Serve on the port after --port, as vLLM's command does, until ended.

    It has a child of its own that does not listen to anyone, as vLLM has its engine.
    """
    if "--fail" in sys.argv:
        print("(EngineCore pid=7) ERROR [x.py:1] ValueError: there is no --fail", flush=True)
        sys.exit(3)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"
    subprocess.Popen([sys.executable, "-c", stubborn])
    with FakeOpenAI(int(sys.argv[sys.argv.index("--port") + 1])) as server:
        server.behaviour.forgets = "--forget" in sys.argv
        time.sleep(300)
