"""How fast and how flat training data comes in, and how much of it is repaired rightly.

    python benchmarks/data.py [--quick] [--rows N]

Beside each figure stands a limit measured in the same run: reading the file with json.loads alone,
writing the rows with plain file calls, and json-repair on the same malformed answers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

import psutil

from benchmarks.malformed import SHAPES, Malformed, make_malformed
from chatbot.base_models import STARTER_DIR
from chatbot.recommendation import (
    Challenge,
    Recommendation,
    RecommendationError,
    canonical,
    from_dict,
)
from chatbot.themes import LOCATIONS, WORK_TYPES, get_label
from feedback_store.records import ExampleFilter
from feedback_store.store import Store
from finetune.checks import CheckSettings
from finetune.dataset import freeze_dataset
from finetune.formats import ImportProgress, ImportSettings, import_path, make_chunks
from finetune.import_rows import RowSettings
from finetune.repair import repair
from finetune.set_checks import check_set

ROWS = RowSettings(CheckSettings(model_dir=STARTER_DIR))
PLOT = ROOT / "docs" / "benchmark-data.png"
MALFORMED_SHARE = 0.2
WORDS = [
    "오늘",
    "이번",
    "주에",
    "작은",
    "함께",
    "천천히",
    "가볍게",
    "즐겁게",
    "새로",
    "다시",
    "먼저",
    "조금씩",
    "매일",
    "퇴근길에",
    "점심때",
    "주말에",
]


@dataclass
class Watch:
    """Rows and memory over time, sampled while something runs."""

    started_at: float = field(default_factory=time.perf_counter)
    rows: list[tuple[float, int]] = field(default_factory=list)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def on_progress(self, progress: ImportProgress) -> None:
        self.rows.append((time.perf_counter() - self.started_at, progress.num_rows))

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.2):
            used = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    used += process.memory_info().rss
                except psutil.Error:
                    continue
            self.memory_mb.append((time.perf_counter() - self.started_at, used / 2**20))

    @property
    def peak_mb(self) -> float:
        return max((used for _, used in self.memory_mb), default=0.0)


def make_rows(num_rows: int, rng: random.Random) -> Iterator[dict[str, str]]:
    """Rows as teams have them: catalogued challenges in many wordings, a fifth malformed."""
    catalog = json.loads((ROOT / "assets" / "catalog.json").read_text("utf-8"))["categories"]
    for number in range(num_rows):
        theme = rng.choice(catalog)
        items = rng.sample(theme["challenges"], 3)
        words = " ".join(rng.choices(WORDS, k=5))
        challenges = tuple(
            Challenge(item["title"]["ko"], f"{rng.choice(WORDS)} {item['description']['ko']}")
            for item in items
        )
        answer = Recommendation(f"{words} {number % 977}번째 실천을 시작해 봐요.", challenges)
        place, work = rng.choice(LOCATIONS).ko, rng.choice(WORK_TYPES).ko
        label = get_label("category", theme["code"], "ko")
        text = canonical(answer)
        if rng.random() < MALFORMED_SHARE:
            text = make_malformed(rng.choice(SHAPES), rng).text
        yield {
            "instruction": f"{words} {number}: 뭘 하면 좋을까요?",
            "input": f"위치: {place}\n직업: {work}\n카테고리: {label}",
            "output": text,
        }


def write_source(path: Path, num_rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in make_rows(num_rows, random.Random(5)):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def measure_checks(path: Path) -> dict[str, float]:
    """Reading, mapping, repairing and checking on all cores, without the store; every check that
    the application does, the length on the base model's own tokenizer among them.
    """
    settings = ImportSettings(ROWS)
    chunks = make_chunks(path, settings, settings.num_workers)
    next(chunks)  # starting the workers is no part of the rate
    started = time.perf_counter()
    count = sum(map(len, chunks))
    ours = count / (time.perf_counter() - started)
    started = time.perf_counter()
    with path.open(encoding="utf-8") as lines:
        num_lines = sum(1 for line in lines if json.loads(line))
    plain = num_lines / (time.perf_counter() - started)
    return {"checks_rows_per_s": ours, "json_loads_rows_per_s": plain}


def measure_import(path: Path, data_dir: Path) -> tuple[dict[str, float], Watch]:
    """The whole file into the store, then near-duplicates and the other checks of the set."""
    with Store.open(data_dir) as store, Watch() as watch:
        started = time.perf_counter()
        settings = ImportSettings(ROWS, check_set=False)  # the set is measured by itself below
        result = import_path(store, path, settings, on_progress=watch.on_progress)
        import_s = time.perf_counter() - started
        report = check_set(store)
        set_s = time.perf_counter() - started - import_s
    accounted = result.num_new + result.num_known + result.num_rejected
    if accounted != result.num_rows:
        raise SystemExit(f"{result.num_rows} rows came, but {accounted} are accounted for.")
    figures = {
        "import_s": import_s,
        "set_checks_s": set_s,
        "peak_mb": watch.peak_mb,
        "rows_flagged": result.num_flagged,
        "rows_near_duplicate": len(report.row_flags),
    }
    return figures, watch


def measure_freeze(data_dir: Path, num_rows: int) -> dict[str, float]:
    """Accept and freeze, beside writing as many bytes with plain calls."""
    with Store.open(data_dir) as store:
        ids = [example.example_id for example in _first(store, num_rows)]
        for at in range(0, len(ids), 2_000):
            store.decide_examples(ids[at : at + 2_000], state="accepted", decided_by="benchmark")
        started = time.perf_counter()
        dataset = freeze_dataset(store, data_dir)
        freeze_s = time.perf_counter() - started
    source = Path(dataset.path) / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    started = time.perf_counter()
    with (data_dir / "plain.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    plain_s = time.perf_counter() - started
    return {"freeze_s": freeze_s, "plain_write_s": plain_s, "rows": float(len(ids))}


def _first(store: Store, num_rows: int) -> Iterator[Any]:
    for number, example in enumerate(store.iter_examples(ExampleFilter(state="pending"))):
        if number == num_rows:
            return
        yield example


def _peer(text: str) -> Recommendation | None:
    """What json-repair makes of it."""
    import json_repair

    try:
        return from_dict(json_repair.loads(text))
    except (RecommendationError, ValueError, RecursionError):
        return None


def _score(case: Malformed, found: Recommendation | None, is_flagged: bool) -> tuple[int, int]:
    """(right, wrong): a flagged reading is neither."""
    if found == case.recommendation:
        return 1, 0
    return 0, int(found is not None and not is_flagged)


def measure_repair(num_per_shape: int) -> dict[str, float]:
    """Every shape at random: certain ones must come back, none may come back changed."""
    rng = random.Random(11)
    certain = right = wrong = peer_right = peer_wrong = 0
    started = time.perf_counter()
    for shape in SHAPES:
        for _ in range(num_per_shape):
            case = make_malformed(shape, rng)
            result = repair(case.text)
            hit, miss = _score(case, result.recommendation, bool(result.flags))
            peer_hit, peer_miss = _score(case, _peer(case.text), is_flagged=False)
            wrong, peer_wrong = wrong + miss, peer_wrong + peer_miss
            if case.is_certain:
                certain, right, peer_right = certain + 1, right + hit, peer_right + peer_hit
    return {
        "repair_right_share": right / certain,
        "repair_wrong": wrong,
        "repair_cases": len(SHAPES) * num_per_shape,
        "repair_certain": certain,
        "json_repair_right_share": peer_right / certain,
        "json_repair_wrong": peer_wrong,
        "repair_s": time.perf_counter() - started,
    }


def draw(watch: Watch) -> None:
    """Rows and memory over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4))
    axes.plot(*zip(*watch.rows, strict=True), color="#2b7a4b", label="rows imported")
    axes.set(xlabel="seconds", ylabel="rows", title="Import, then near-duplicates")
    right = axes.twinx()
    right.plot(*zip(*watch.memory_mb, strict=True), color="#888888", label="memory")
    right.set(ylabel="MB, all processes", ylim=(0, None))
    figure.legend(loc="upper left", bbox_to_anchor=(0.12, 0.88))
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller size, under 50 seconds")
    parser.add_argument("--rows", type=int, help="rows to import (1,000,000; quick 20,000)")
    arguments = parser.parse_args()
    num_rows = arguments.rows or (20_000 if arguments.quick else 1_000_000)
    num_frozen = min(num_rows, 10_000 if arguments.quick else 100_000)
    num_checked = min(num_rows, 20_000 if arguments.quick else 100_000)
    with tempfile.TemporaryDirectory(prefix="data-benchmark-") as folder:
        home = Path(folder)
        figures: dict[str, float] = measure_repair(20 if arguments.quick else 500)
        write_source(home / "checked.jsonl", num_checked)
        figures |= measure_checks(home / "checked.jsonl")
        write_source(home / "rows.jsonl", num_rows)
        imported, watch = measure_import(home / "rows.jsonl", home / "data")
        figures |= imported | measure_freeze(home / "data", num_frozen)
        if not arguments.quick:
            draw(watch)
    for name, value in figures.items():
        print(f"{name:28} {value:>14,.2f}")
    result = {
        "checks_rows_per_s": round(figures["checks_rows_per_s"]),
        "import_1m_s": round(figures["import_s"] + figures["set_checks_s"], 1),
        "import_1m_peak_mb": round(figures["peak_mb"]),
        "freeze_100k_s": round(figures["freeze_s"], 2),
        "repair_right_share": figures["repair_right_share"],
        "repair_wrong": int(figures["repair_wrong"]),
        "import_rows": num_rows,
        "freeze_rows": num_frozen,
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":  # the workers import this file again
    main()
