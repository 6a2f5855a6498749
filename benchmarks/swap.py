"""What people notice while versions change under them: promotions and rollbacks beneath sixteen
conversations that never pause.

    python benchmarks/swap.py [--quick] [--voices FOLDER]

Each version was trained to open its answers with a sentence of its own (swap_voices.py), so every
answer tells by itself which adapter spoke; that is compared with the version on its record. Beside
it stands what the same change would cost by starting the server again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.swap_questions import QUESTIONS, say_name
from chatbot.engines.base import Chunk, Sampling
from chatbot.recommendation import RecommendationError, parse
from chatbot.service import ChatService, ChatSettings
from chatbot.themes import BaseInfo
from chatbot.turn_events import Failed, Finished, Progress, Started, TurnRequest
from feedback_store.records import Dataset, Run, Turn
from feedback_store.store import Store
from finetune.adapter_folder import run_adapter_dir
from finetune.gate import Reason, Verdict
from finetune.registry import publish_adapter
from finetune.report import Report
from settings import Settings
from wiring.engines import find_base_model
from wiring.runtime import Runtime

PLOT = ROOT / "docs" / "benchmark-swap.png"
NUM_STREAMS = 16
NUM_ROUNDS = 20  # each a promotion and a rollback
AFTERMATH_S = 1.0  # after a change, gaps still count as the change's
GREEDY = Sampling(temperature=0.0, max_tokens=512)


@dataclass(frozen=True)
class Said:
    """One answer as it reached a person; version is the one on record."""

    question: BaseInfo
    version: str
    first_text_at: float | None
    turn: Turn | None
    error: str = ""


@dataclass
class Record:
    """What was seen: answers, gaps between tokens, and the spans in which versions changed."""

    said: list[Said] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)  # (when, seconds)
    changes: list[tuple[float, float]] = field(default_factory=list)
    promoted: dict[str, float] = field(default_factory=dict)  # version → when it was promoted
    rollback_s: list[float] = field(default_factory=list)
    is_over: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)


def make_voices(folder: Path, versions: Sequence[str]) -> None:
    """Train what is missing, in a process of its own."""
    missing = [version for version in versions if not (folder / version).is_dir()]
    if missing:
        script = str(ROOT / "benchmarks" / "swap_voices.py")
        subprocess.run([sys.executable, script, str(folder), *missing], check=True)


def publish_versions(store: Store, voices: Path, count: int) -> list[str]:
    """Adapters that each say another sentence, published as versions."""
    names = [f"v{number + 1:04d}" for number in range(count)]
    make_voices(voices, names)
    store.add_dataset(Dataset(dataset_id="d", path="d", num_train=1, num_validation=0), [])
    verdict = Verdict("pass", (Reason("benchmark", "Made for the benchmark."),))
    for name in names:
        run = Run(
            run_id=f"run-{name}",
            kind="sft",
            state="done",
            dataset_id="d",
            base_model="starter",
            recipe={},
        )
        store.add_run(run)
        shutil.copytree(voices / name, run_adapter_dir(store.data_dir, run.run_id))
        report = Report("", "starter", {})
        published = publish_adapter(store, store.data_dir, run, report, verdict)
        assert published.version == name, published.version
    return names


def time_gaps(runtime: Runtime, record: Record) -> None:
    """Note the time between any two chunks of an answer."""
    stream = runtime.engine.stream

    async def timed(*arguments: Any) -> AsyncIterator[Chunk]:
        before = None
        async with aclosing(stream(*arguments)) as chunks:
            async for chunk in chunks:
                now = time.monotonic()
                if before is not None:
                    record.gaps.append((now, now - before))
                before = now
                yield chunk

    runtime.engine.stream = timed  # type: ignore[method-assign]


async def talk_once(chat: ChatService, person: str, question: BaseInfo) -> Said:
    """One question in a conversation of its own."""
    request = TurnRequest(
        person_id=person, origin="studio", lang="ko", mode="base_info", base_info=question
    )
    version, first = "", None
    async with aclosing(chat.answer(request)) as events:
        async for event in events:
            if isinstance(event, Started):
                version = event.adapter
            elif isinstance(event, Progress) and first is None:
                first = time.monotonic()
            elif isinstance(event, Finished):
                return Said(question, version, first, event.turn)
            elif isinstance(event, Failed):
                return Said(question, version, first, event.turn, event.code)
    return Said(question, version, first, None, "no_end")


async def talk_on(chat: ChatService, number: int, record: Record) -> None:
    """One person who asks again as soon as the answer is there."""
    asked = number
    while not record.is_over:
        question = QUESTIONS[asked % len(QUESTIONS)]
        asked += 1
        try:
            said = await talk_once(chat, f"person{number}", question)
        except Exception as error:  # noqa: BLE001 - every failed request is a figure
            said = Said(question, "", None, None, f"{type(error).__name__}: {error}")
        record.said.append(said)
        record.answered.set()


async def wait_for_answers(record: Record, version: str, count: int) -> None:
    """Until so many answers that this version gave have ended."""
    known = len(record.said)
    while sum(said.version == version for said in record.said[known:]) < count:
        record.answered.clear()
        await record.answered.wait()


async def change_versions(runtime: Runtime, versions: Sequence[str], record: Record) -> None:
    """Promote a fresh version, let people talk, roll back; once for each version but the first."""
    for version in versions[1:]:
        began = time.monotonic()
        await asyncio.to_thread(runtime.learning.promote, version, actor="benchmark", reason="swap")
        record.promoted[version] = time.monotonic()
        record.changes.append((began, time.monotonic() + AFTERMATH_S))
        await wait_for_answers(record, version, NUM_STREAMS // 2)
        await asyncio.sleep(AFTERMATH_S)
        began = time.monotonic()
        await asyncio.to_thread(runtime.learning.roll_back, actor="benchmark")
        record.rollback_s.append(time.monotonic() - began)
        record.changes.append((began, time.monotonic() + AFTERMATH_S))
        await wait_for_answers(record, versions[0], NUM_STREAMS // 2)
        await asyncio.sleep(AFTERMATH_S)


def find_speaker(text: str, versions: Sequence[str]) -> str:
    """The version whose sentence opens the answer; "" where it is nobody's."""
    try:
        opening = parse(text).recommend
    except RecommendationError:
        return ""
    return next((version for version in versions if say_name(version) == opening), "")


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def is_changing(record: Record, at: float) -> bool:
    """Whether a version changed at that time."""
    return any(start <= at <= end for start, end in record.changes)


def summarize(record: Record, versions: Sequence[str]) -> dict[str, float]:
    """The figures of the promise. told_apart: answers that say for certain who gave them."""
    usual = [gap for at, gap in record.gaps if not is_changing(record, at)]
    during = [gap for at, gap in record.gaps if is_changing(record, at)]
    waits = []
    for version, at in record.promoted.items():
        firsts = [s.first_text_at for s in record.said if s.version == version and s.first_text_at]
        waits.append(min(firsts) - at if firsts else float("inf"))
    ended = [said for said in record.said if said.turn is not None]
    truncated = sum(said.turn.status == "truncated" for said in ended if said.turn)
    speakers = [
        (said.version, said.turn.adapter, find_speaker(said.turn.raw_text, versions))
        for said in ended
        if said.turn and said.turn.status == "ok"
    ]
    return {
        "answers": len(record.said),
        "told_apart": sum(bool(speaker) for _, _, speaker in speakers),
        "swaps": len(record.promoted) + len(record.rollback_s),
        "failed": sum(bool(said.error) for said in record.said) - truncated,
        "truncated": truncated,
        "misattributed": sum(len({*who}) > 1 for who in speakers),
        "promote_to_first_answer_s": max(waits),
        "rollback_s": max(record.rollback_s),
        "usual_gap_p95_ms": quantile(usual, 0.95) * 1000,
        "swap_gap_p95_ms": quantile(during, 0.95) * 1000,
        "gap_ratio_p95": quantile(during, 0.95) / quantile(usual, 0.95),
    }


def draw(record: Record) -> None:
    """The gaps over time, with the spans of change."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    start = record.gaps[0][0]
    buckets: dict[int, list[float]] = {}
    for at, gap in record.gaps:
        buckets.setdefault(int((at - start) * 2), []).append(gap * 1000)
    times = [bucket / 2 for bucket in sorted(buckets)]
    figure, axes = plt.subplots(figsize=(9, 3.2))
    axes.plot(times, [quantile(buckets[int(t * 2)], 0.95) for t in times], label="95th percentile")
    axes.plot(times, [statistics.median(buckets[int(t * 2)]) for t in times], label="median")
    for begin, end in record.changes:
        axes.axvspan(begin - start, end - start, color="0.9", zorder=0)
    axes.set_xlabel("seconds; grey: a version is being promoted or rolled back")
    axes.set_ylabel("gap between tokens, ms")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


async def measure(home: Path, voices: Path, num_rounds: int) -> tuple[Record, dict[str, float]]:
    """Everything on one engine; returns what was seen and the figures."""
    settings = Settings(data_dir=home)
    record = Record()
    with Store.open(home) as store:
        versions = publish_versions(store, voices, num_rounds + 1)
        runtime = Runtime(settings, store, find_base_model(settings))
        began = time.monotonic()
        await runtime.start()
        await runtime.wait_settled(600)
        start_s = time.monotonic() - began
        chat = ChatService(
            store,
            runtime.engine,
            runtime.production,
            ChatSettings(GREEDY),
            choose_adapter=runtime.learning.choose,
        )
        await asyncio.to_thread(
            runtime.learning.promote, versions[0], actor="benchmark", reason="begin"
        )
        time_gaps(runtime, record)
        people = [asyncio.create_task(talk_on(chat, n, record)) for n in range(NUM_STREAMS)]
        await wait_for_answers(record, versions[0], NUM_STREAMS)
        await change_versions(runtime, versions, record)
        record.is_over = True
        await asyncio.gather(*people)
        began = time.monotonic()
        await chat.close()
        await runtime.stop()
        restart_s = start_s + time.monotonic() - began
    return record, {**summarize(record, versions), "restart_instead_s": restart_s}


def main() -> None:
    """Measure, print a table, draw the plot, end with the result line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds instead of twenty")
    parser.add_argument("--voices", type=Path, help="keep the trained adapters here, or take them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        voices = arguments.voices or home / "voices"
        num_rounds = 2 if arguments.quick else NUM_ROUNDS
        record, figures = asyncio.run(measure(home / "data", voices, num_rounds))
    if not arguments.quick:
        draw(record)
    for name, value in figures.items():
        print(f"{name:28} {value:10.3f}")
    for said in record.said:
        if said.error:
            print(f"failed: {said.error}")
    result = {name: round(value, 3) for name, value in figures.items()}
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
