from dataclasses import replace
from pathlib import Path

import pytest

from chatbot.engines import vllm_server
from chatbot.engines.vllm_server import (
    VllmSettings,
    build_command,
    build_env,
    find_reason,
    round_up_rank,
)
from tests.tiny_models import STARTER, build_model


@pytest.fixture
def settings(tmp_path: Path) -> VllmSettings:
    return VllmSettings(
        str(build_model(tmp_path / "model", shape=STARTER)),
        log_path=tmp_path / "log",
        state_path=tmp_path / "state",
    )


def _value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_the_command_serves_adapters_on_loopback(settings: VllmSettings) -> None:
    command = build_command(replace(settings, extra_args=("--load-format", "hf")), 4321)
    assert (_value(command, "--host"), _value(command, "--port")) == ("127.0.0.1", "4321")
    assert _value(command, "--max-model-len") == "1024"
    assert _value(command, "--max-lora-rank") == "64"
    assert '"backend": "guidance"' in _value(command, "--structured-outputs-config")
    assert "--enable-lora" in command
    assert "--lora-modules" not in command
    assert command[-2:] == ["--load-format", "hf"]


def test_the_cache_holds_all_sequences_of_a_small_model(settings: VllmSettings) -> None:
    values = 2 * STARTER.num_layers * STARTER.num_kv_heads * STARTER.head_dim
    held = int(_value(build_command(settings, 1), "--kv-cache-memory-bytes"))
    assert held >= 2 * values * (1024 + 256) * 128
    asked = build_command(replace(settings, kv_cache_bytes=5), 1)
    assert _value(asked, "--kv-cache-memory-bytes") == "5"


def test_the_key_is_in_the_environment_only(settings: VllmSettings) -> None:
    env = build_env(settings, "secret")
    assert env["VLLM_API_KEY"] == "secret"
    assert env["HF_HUB_OFFLINE"] == "1"
    assert "secret" not in " ".join(build_command(settings, 1))
    assert "HF_HUB_OFFLINE" not in build_env(replace(settings, model="a/b"), "")


@pytest.mark.parametrize(("rank", "taken"), [(1, 8), (8, 8), (9, 16), (64, 64), (900, 512)])
def test_a_rank_is_rounded_up_to_one_with_kernels(rank: int, taken: int) -> None:
    assert round_up_rank(rank) == taken


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("INFO all is well\n", ""),
        ("(EngineCore pid=7) WARNING 11-21 [x.py:9] OSError: Too many open files\n", ""),
        (
            "(EngineCore pid=7) ERROR 11-21 [core.py:9] ValueError: No memory for 3 GiB\n"
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See above.\n",
            "ValueError: No memory for 3 GiB",
        ),
        (
            "(APIServer pid=1) RuntimeError: Engine core initialization failed.\n",
            "(APIServer pid=1) RuntimeError: Engine core initialization failed.",
        ),
    ],
)
def test_the_reason_is_the_cause_and_not_its_wrapping(log: str, reason: str) -> None:
    assert find_reason(log) == reason


def test_a_server_that_may_sleep_is_told_so(settings: VllmSettings) -> None:
    sleeper = replace(settings, sleep_level=1)
    assert "--enable-sleep-mode" in build_command(sleeper, 8001)
    assert build_env(sleeper, "key")["VLLM_SERVER_DEV_MODE"] == "1"
    assert "--enable-sleep-mode" not in build_command(settings, 8001)
    assert "VLLM_SERVER_DEV_MODE" not in build_env(settings, "key")


def test_on_a_card_it_starts_beside_a_training(
    settings: VllmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server, "is_cpu_build", lambda: False)
    command = build_command(settings, 8001)
    assert _value(command, "--gpu-memory-utilization") == "0.01"
    assert "--kv-cache-memory-bytes" in command


def test_on_a_card_the_sampler_needs_no_compiler(
    settings: VllmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_USE_FLASHINFER_SAMPLER", raising=False)
    monkeypatch.setattr(vllm_server, "is_cpu_build", lambda: False)
    assert build_env(settings, "key")["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    monkeypatch.setattr(vllm_server, "is_cpu_build", lambda: True)
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in build_env(settings, "key")
