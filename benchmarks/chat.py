"""What our API adds to raw vLLM, how it holds under many streams, and how smooth the page stays.

    python benchmarks/chat.py [--quick] [--soak-s S] [--skip-vllm] [--skip-browser]

Raw vLLM and our API answer the same questions with the same sampling in the same run, turn about,
through the same kind of client; the client, our application and vLLM are processes of their own,
as they are in use. "First token" is the first text that a person can read: before it the model
writes the opening of the JSON object, which only the raw client sees. The soak and the memory are
measured with the scripted engine, the page in Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import httpx
import psutil

from benchmarks.chat_browser import measure_browser
from benchmarks.chat_load import OurApi, RawVllm, Sample, open_client, run_for, run_load
from chatbot.base_models import STARTER_DIR
from chatbot.engines.vllm_server import VllmServer, VllmSettings
from chatbot.recommendation import from_dict, to_text
from tests.scripted_engine import ANSWER

PLOT = ROOT / "docs" / "benchmark-chat.png"
LEVELS = (1, 8, 32, 100)
SOAK_STREAMS = 100
SOAK_TOKENS_PER_S = 30


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    levels: tuple[int, ...]
    requests_per_stream: int
    least_requests: int
    rounds: int
    soak_s: float
    memory_turns: int
    num_prompts: int = 128  # different ones


FULL = Plan(LEVELS, 3, 16, 3, 600.0, 10_000)
QUICK = Plan((1, 8), 1, 6, 2, 5.0, 600, 16)


@contextmanager
def started(*words: str) -> Iterator[tuple[dict[str, Any], psutil.Process]]:
    """Our application in a process of its own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "chat_server.py"), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield json.loads(line), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def vllm_started(home: Path) -> Iterator[VllmServer]:
    """vLLM with the starter model; ready when the block begins."""
    settings = VllmSettings(
        model=str(STARTER_DIR), log_path=home / "vllm.log", state_path=home / "vllm.json"
    )
    server = VllmServer(settings)
    server.start()
    try:
        yield server
    finally:
        server.end(grace_s=5.0)


def wait_healthy(server: VllmServer, timeout_s: float = 300.0) -> None:
    """Until the server answers."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            if httpx.get(f"{server.url}/health", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit("vLLM did not get ready; its log has the reason.")


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def count_tokens(client: httpx.AsyncClient) -> float:
    """Completion tokens that our application counted so far."""
    text = (await client.get("/metrics")).text
    lines = (line for line in text.splitlines() if line.startswith("ecoloop_tokens_total"))
    return sum(float(line.split()[-1]) for line in lines if 'kind="completion"' in line)


@dataclass
class Level:
    """All samples of one number of streams."""

    raw: list[Sample]
    ours: list[Sample]
    raw_tokens_per_s: float
    ours_tokens_per_s: float

    def first_ms(self, samples: list[Sample]) -> float:
        """Median time to the first readable text."""
        return median(s.first_s for s in samples if s.first_s is not None) * 1000

    @property
    def first_any_ms(self) -> float:
        """Median time to the raw client's first token of any kind."""
        return median(s.first_any_s for s in self.raw if s.first_any_s is not None) * 1000


async def measure_level(
    raw: RawVllm, ours: OurApi, concurrency: int, plan: Plan, first: int
) -> Level:
    """Rounds of raw and ours, the order changing, on the same questions."""
    num = max(plan.least_requests, concurrency * plan.requests_per_stream)
    seen: dict[str, list[Sample]] = {"raw": [], "ours": []}
    tokens, seconds = {"raw": 0.0, "ours": 0.0}, {"raw": 0.0, "ours": 0.0}
    for number in range(plan.rounds):
        for name in ("raw", "ours") if number % 2 == 0 else ("ours", "raw"):
            ask = raw.ask if name == "raw" else ours.ask
            before = await count_tokens(ours.client)
            samples, took_s = await run_load(ask, concurrency, num, first + number * num)
            seen[name] += samples
            seconds[name] += took_s
            counted = await count_tokens(ours.client) - before
            tokens[name] += counted if name == "ours" else sum(s.num_tokens for s in samples)
    return Level(
        seen["raw"],
        seen["ours"],
        tokens["raw"] / seconds["raw"],
        tokens["ours"] / seconds["ours"],
    )


async def compare_with_raw(server: VllmServer, plan: Plan) -> dict[str, float]:
    """Overhead and throughput at every number of streams."""
    words = ("--vllm-url", server.url, "--vllm-key", server.api_key, "--model", str(STARTER_DIR))
    figures: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        ready, _ = stack.enter_context(started(*words))
        raw_client = await stack.enter_async_context(open_client(server.url, server.api_key))
        our_client = await stack.enter_async_context(open_client(ready["url"]))
        raw = RawVllm(raw_client, plan.num_prompts)
        ours = OurApi(our_client, os.urandom(4).hex(), plan.num_prompts)
        await run_load(raw.ask, max(plan.levels), plan.num_prompts)  # cached for both from now on
        await run_load(ours.ask, max(plan.levels), max(plan.levels), 900_000)
        print_head()
        for place, concurrency in enumerate(plan.levels):
            level = await measure_level(raw, ours, concurrency, plan, place * 10_000)
            figures |= report_level(level, concurrency)
    return figures


def print_head() -> None:
    """The head of the table."""
    print(
        f"{'streams':>8} {'raw 1st token':>14} {'raw readable':>13} {'ours':>9} {'added':>8} "
        f"{'allowed':>8} {'raw tok/s':>10} {'ours tok/s':>11} {'ratio':>6} {'whole':>11}"
    )


def report_level(level: Level, concurrency: int) -> dict[str, float]:
    """One line of the table, and its figures."""
    raw_ms, ours_ms = level.first_ms(level.raw), level.first_ms(level.ours)
    ratio = level.ours_tokens_per_s / level.raw_tokens_per_s
    whole = f"{sum(s.is_whole for s in level.ours)}/{len(level.ours)}"
    print(
        f"{concurrency:>8} {level.first_any_ms:>11.1f} ms {raw_ms:>10.1f} ms {ours_ms:>6.1f} ms "
        f"{ours_ms - raw_ms:>5.1f} ms {5 + 0.03 * raw_ms:>5.1f} ms {level.raw_tokens_per_s:>10.0f} "
        f"{level.ours_tokens_per_s:>11.0f} {ratio:>6.3f} {whole:>11}",
        flush=True,
    )
    return {
        f"ttft_overhead_ms_{concurrency}": ours_ms - raw_ms,
        f"throughput_ratio_{concurrency}": ratio,
    }


async def soak(seconds: float) -> dict[str, float]:
    """100 streams at 30 tokens a second: first token, gaps, and whether anything was lost."""
    expected = to_text(from_dict(ANSWER))
    with started("--tokens-per-s", str(SOAK_TOKENS_PER_S)) as (ready, _):
        async with open_client(ready["url"]) as client:
            api = OurApi(client, os.urandom(4).hex())
            samples = await run_for(api.ask, SOAK_STREAMS, seconds)
    lost = sum(not sample.is_whole or sample.text != expected for sample in samples)
    firsts = [sample.first_s * 1000 for sample in samples if sample.first_s is not None]
    gaps = [gap * 1000 for sample in samples for gap in sample.gaps_s]
    figures = {
        "soak_ttft_p99_ms": percentile(firsts, 0.99),
        "soak_gap_p99_ms": percentile(gaps, 0.99),
        "soak_lost": float(lost),
    }
    print(
        f"soak {seconds:.0f} s, {SOAK_STREAMS} streams, {len(samples)} answers: first token "
        f"p50 {percentile(firsts, 0.5):.0f} p99 {figures['soak_ttft_p99_ms']:.0f} ms, gap "
        f"p50 {percentile(gaps, 0.5):.0f} p99 {figures['soak_gap_p99_ms']:.0f} ms, lost {lost}",
        flush=True,
    )
    return figures


def own_memory_mb(process: psutil.Process) -> float:
    """What the process holds itself, without the database file that SQLite maps."""
    info = process.memory_info()
    return float(info.rss - getattr(info, "shared", 0)) / 2**20


async def measure_memory(num_turns: int) -> dict[str, float]:
    """Memory of our process after a fifth of the turns and after all."""
    with started() as (ready, process):
        async with open_client(ready["url"]) as client:
            api = OurApi(client, os.urandom(4).hex())
            fifth = num_turns // 5
            await run_load(api.ask, 32, fifth)
            early = own_memory_mb(process)
            _, took_s = await run_load(api.ask, 32, num_turns - fifth, fifth)
            late = own_memory_mb(process)
    print(
        f"memory: {early:.0f} MB after {fifth} turns, {late:.0f} MB after {num_turns} "
        f"({(num_turns - fifth) / took_s:.0f} turns/s)",
        flush=True,
    )
    return {"memory_growth_mb": late - early, "turns_per_s": (num_turns - fifth) / took_s}


async def measure_page() -> dict[str, float]:
    """The page in a browser."""
    with started("--page", "--tokens-per-s", str(SOAK_TOKENS_PER_S)) as (ready, _):
        figures = await measure_browser(ready)
    print(
        f"page with 40 turns: {figures['browser_fps']:.1f} frames/s while streaming, "
        f"{figures['browser_sent_fps']:.1f} from the sending on, "
        f"{figures['browser_idle_fps']:.1f} while nothing happens, worst stall "
        f"{figures['browser_worst_stall_ms']:.0f} ms",
        flush=True,
    )
    return figures


def draw(figures: dict[str, float], path: Path) -> None:
    """Overhead and throughput over the number of streams."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    levels = [level for level in LEVELS if f"ttft_overhead_ms_{level}" in figures]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    names = [str(level) for level in levels]
    left.bar(names, [figures[f"ttft_overhead_ms_{level}"] for level in levels], color="#2f9e6e")
    left.axhline(5, color="#888888", linestyle="--", linewidth=1)
    left.set(title="Added to the first token (ms)", xlabel="streams")
    right.bar(names, [figures[f"throughput_ratio_{level}"] for level in levels], color="#2f9e6e")
    right.axhline(0.97, color="#888888", linestyle="--", linewidth=1)
    right.set(title="Throughput, ours / raw vLLM", xlabel="streams")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


async def run(arguments: argparse.Namespace) -> dict[str, float]:
    """All measurements, one after the other; only vLLM's start happens beside the others."""
    plan = QUICK if arguments.quick else FULL
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        if arguments.quick and not arguments.skip_vllm:  # its start takes most of the time there is
            with vllm_started(Path(home)) as server:
                figures |= await measure_ours(arguments, plan)
                wait_healthy(server)
                figures |= await compare_with_raw(server, plan)
            return figures
        if not arguments.skip_vllm:
            with vllm_started(Path(home)) as server:
                wait_healthy(server)
                figures |= await compare_with_raw(server, plan)
        return figures | await measure_ours(arguments, plan)


async def measure_ours(arguments: argparse.Namespace, plan: Plan) -> dict[str, float]:
    """What needs no model."""
    figures = await soak(arguments.soak_s or plan.soak_s)
    figures |= await measure_memory(plan.memory_turns)
    if not arguments.skip_browser:
        figures |= await measure_page()
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 50 seconds, smaller")
    parser.add_argument("--soak-s", type=float, default=0.0, help="length of the soak")
    parser.add_argument("--skip-vllm", action="store_true", help="only what needs no model")
    parser.add_argument("--skip-browser", action="store_true", help="without Chromium")
    parser.add_argument("--no-plot", action="store_true", help="leave the plot in docs/ as it is")
    arguments = parser.parse_args()
    figures = asyncio.run(run(arguments))
    if not arguments.quick and not arguments.no_plot and not arguments.skip_vllm:
        draw(figures, PLOT)
    print("RESULT " + json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
