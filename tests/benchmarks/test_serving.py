"""The streams of the serving section, over an engine that speaks by heart."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.gpu import serving
from benchmarks.gpu.context import Context
from benchmarks.gpu.sections import find_section
from chatbot.engines.base import AdapterRef, EngineError
from finetune.training_rows import read_rows
from tests.scripted_engine import Script, ScriptedEngine


@dataclass
class Room:
    """What the measurements use of the real one."""

    engine: ScriptedEngine = field(default_factory=ScriptedEngine)
    context: Context = field(default_factory=lambda: Context(Path(), is_dry=True, known={}))

    def adapter(self, number: int) -> AdapterRef:
        return AdapterRef(f"v{number:04}", Path("/adapters"))


async def test_every_stream_is_asked_and_counted() -> None:
    seen = await serving._ask_many(Room(), 3, 2, None)  # type: ignore[arg-type]
    figures = seen.figures(seconds=2.0)
    assert len(seen.texts) == len(seen.firsts) == 6
    assert seen.num_tokens > 0
    assert figures["tokens_per_s"] == seen.num_tokens / 2
    assert figures["failed"] == 0


async def test_an_answer_that_does_not_parse_counts_as_failed() -> None:
    good, cut = Script(), Script(text='{"recommend": "산')
    room = Room(ScriptedEngine([good, cut]))
    figures = await serving._structured(room)  # type: ignore[arg-type]
    assert (figures["failed"], figures["note"]) == (1, "1 of 2 parsed")


async def test_a_swap_says_how_people_fared_before_and_during() -> None:
    room = Room()
    figures = await serving._swap(room)  # type: ignore[arg-type]
    assert figures["failed"] == 0
    assert "tokens/s, gap p95" in figures["note"]
    assert {call.adapter for call in room.engine.calls} == {"v0001", "v0002"}
    assert room.engine.num_running == 0


async def test_the_talkers_end_with_a_measurement_that_failed() -> None:
    room = Room()

    async def fail() -> None:
        async with serving._talking(room, "v0001"):  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            raise RuntimeError("the training failed")

    with pytest.raises(RuntimeError):
        await fail()
    assert room.engine.num_running == 0
    assert len(asyncio.all_tasks()) == 1


async def test_talkers_that_are_refused_leave_room_for_others() -> None:
    room = Room()
    room.engine.scripts = [Script(text="", error=EngineError("not_ready", "It sleeps."))]
    async with serving._talking(room, "v0001") as seen:  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
    assert seen.num_failed > 0


def test_the_gap_is_taken_within_its_span() -> None:
    gaps = [(float(at), at / 1000) for at in range(100)]
    assert serving.gap_p95_ms(gaps, 0, 99) == pytest.approx(95)
    assert serving.gap_p95_ms(gaps, 0, 19) == pytest.approx(19)
    assert serving.gap_p95_ms(gaps, 200, 300) is None


def test_the_training_beside_it_gets_rows_that_it_can_read(tmp_path: Path) -> None:
    folder = serving._write_dataset(tmp_path / "dataset", 4)
    rows = read_rows(folder, "train")
    assert len(rows) == 4
    assert all(row.completion.startswith("{") for row in rows)


def test_every_measurement_of_the_section_has_its_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []

    class Loop(Room):
        def run(self, work: object) -> dict[str, object]:
            called.append(work.__qualname__)  # type: ignore[attr-defined]
            work.close()  # type: ignore[attr-defined]
            return {}

    monkeypatch.setattr(serving, "_rooms", [Loop()])
    for cell in find_section("serving").cells:
        if cell.name != "start-up" and "lora" not in cell.options:
            serving.measure(cell, Loop().context)
    assert called == ["_hot_load", "_structured", "_swap", "_train_beside", "_sleep"]
