"""What happens when people mean harm, and when the engine breaks: python benchmarks/abuse.py

1. every event and route as everybody (tests/wiring/doors.py)
2. 1,000 connections at once: who is served, and how soon the others are told
3. eighteen engine faults on the whole way, with the patience of the product
4. random input for every parser, and Schemathesis on every route of the API
5. 250 identities that plant a phrase, and fifty pieces of personal data
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, from anywhere

from benchmarks.bad_inputs import try_parsers
from benchmarks.flood import Flood, draw_flood, run_flood
from feedback_store.store import Store
from tests.chatbot.engine_faults import FAULTS, Times, Told, meet
from tests.finetune.planted_data import export_planted
from tests.finetune.poisoning import NUM_IDENTITIES, PHRASES, run_drill

NUM_CONNECTIONS = 1_000
TOKENS_PER_S = 30


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """The API with its guards and limits over an engine that follows a script."""
    command = [sys.executable, str(ROOT / "benchmarks" / "chat_server.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def try_doors(is_quick: bool) -> dict[str, Any]:
    """Every way in, as everybody."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.wiring.doors", folder]
        command += ["--quick", "--seconds", "15"] if is_quick else []
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    for leak in told["leaked"]:
        print("LEAKED", leak)
    return told


def flood(is_quick: bool) -> Flood:
    """The product's limits, page included; the best known of three, since the first is cold."""
    floods = []
    with serving("--limits", "--page", "--tokens-per-s", str(TOKENS_PER_S)) as url:
        place = urlsplit(url)
        for _ in range(2 if is_quick else 4):
            floods.append(run_flood(str(place.hostname), int(place.port or 0), NUM_CONNECTIONS))
            time.sleep(1.0)
    warm = sorted(floods[1:], key=lambda flood: flood.refused_ms(0.99))
    return warm[len(warm) // 2]


def meet_faults(times: Times) -> list[Told]:
    """All faults at the same time, each with a server of its own."""

    async def meet_all() -> list[Told]:
        return list(await asyncio.gather(*(meet(fault, times) for fault in FAULTS)))

    return asyncio.run(meet_all())


def count_server_errors(num: int) -> tuple[int, int]:
    """(requests, answers of 5xx) of Schemathesis, so many for each operation of the API."""
    import requests
    import schemathesis
    from hypothesis import HealthCheck, given, settings

    counts = {"sent": 0, "broken": 0}
    with serving("--tokens-per-s", "0") as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        session = requests.Session()
        session.trust_env = False
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=num, deadline=None, database=None, derandomize=True,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy())
            def run(case: Any) -> None:
                response = case.call(base_url=url, session=session, timeout=30)
                counts["sent"] += 1
                counts["broken"] += response.status_code >= 500

            run()
    return counts["sent"], counts["broken"]


def drill() -> tuple[int, int]:
    """(planted rows without a flag, rows trained on without a named approval)."""
    not_flagged = unnamed = 0
    for phrase in PHRASES:
        with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
            result = run_drill(store, phrase)
            not_flagged += NUM_IDENTITIES - result.num_flagged
            unnamed += result.num_unnamed
    return not_flagged, unnamed


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, within 50 s")
    quick = parser.parse_args().quick
    flooded = flood(quick)
    if not quick:
        draw_flood(flooded, ROOT / "docs" / "benchmark-abuse.png")
    times = Times(0.1 if quick else 1.0)
    told = meet_faults(times)
    for one in told:
        print(f"{one.fault:12} {one.seconds:6.2f} s  {one.sentence}")
    parsed = try_parsers(200 if quick else 10_000)
    for name, defect in parsed.defects.items():
        print(f"{name}: {defect}")
    num_sent, num_broken = count_server_errors(40 if quick else 1_000)
    doors = try_doors(quick)
    not_flagged, unnamed = drill()
    num_exported, read = export_planted()
    result = {
        "entries_tried": doors["entries_tried"],
        "entries_leaked": doors["entries_leaked"],
        "flood_served": flooded.num_served,
        "flood_refused": len(flooded.refused),
        "flood_refused_p50_ms": round(flooded.refused_ms(0.5), 1),
        "flood_refused_p99_ms": round(flooded.refused_ms(0.99), 1),
        "engine_faults_survived": sum(one.has_survived(times) for one in told),
        "slowest_fault_s": round(max(one.seconds for one in told), 1),
        "bad_inputs": parsed.num_inputs + num_sent,
        "bad_inputs_5xx": parsed.num_defects + num_broken,
        "planted_not_flagged": not_flagged,
        "trained_without_name": unnamed,
        "personal_data_exported": len(read),
    }
    print(f"{num_exported} rows with personal data were exported, {len(read)} of it readable")
    for key, value in result.items():
        print(f"{key:24} {value:>10}")
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
