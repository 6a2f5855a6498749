"""How long the loop takes on this machine: the page, the first answer, a retrain on 200 examples.

`python -m benchmarks.loop` needs about six minutes on two cores; `--quick` measures the page and
the first answer only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from feedback_store.store import Store
from finetune.starter_corpus import write_examples

ROOT = Path(__file__).parents[1]
QUESTION = {"sessionId": "benchmark", "message": "바닷가에서 할 수 있는 챌린지를 추천해 주세요"}
FREE_TEXT = "/ai/chatbot/recommendation/free-text"
NUM_EXAMPLES = 200
TIMEOUT_S = 900.0


def wait_for(is_there: Callable[[], bool]) -> float:
    """The moment at which it is there."""
    started = time.monotonic()
    while time.monotonic() - started < TIMEOUT_S:
        try:
            if is_there():
                return time.monotonic()
        except (httpx.HTTPError, ValueError, KeyError):
            pass
        time.sleep(0.05)
    raise TimeoutError(f"not there after {TIMEOUT_S:.0f} s")


@contextmanager
def make_run(data_dir: Path, port: int) -> Iterator[str]:
    """`make run`, as a person types it; yields the address."""
    environ = {**os.environ, "ARGS": f"--data-dir {data_dir} --port {port}"}
    process = subprocess.Popen(["make", "-s", "run"], cwd=ROOT, env=environ, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def import_examples(data_dir: Path, folder: Path) -> None:
    """Two hundred clean examples, imported and accepted by command."""
    path = folder / "examples.jsonl"
    write_examples(path, NUM_EXAMPLES)
    command = [sys.executable, "app.py", "import", str(path), "--accept"]
    subprocess.run([*command, "--data-dir", str(data_dir)], cwd=ROOT, check=True)


def answer(url: str) -> bool:
    """Whether a question is answered with three challenges."""
    response = httpx.post(url + FREE_TEXT, json=QUESTION, timeout=120, trust_env=False)
    return response.status_code == 200 and len(response.json()["data"]["challenges"]) == 3


def adapter_of(url: str) -> str | None:
    """The version that answers."""
    found: str | None = httpx.get(url + "/health", trust_env=False).json()["adapter"]
    return found


def measure_retrain(url: str, data_dir: Path) -> float:
    """From the order to the first answer of the new version."""
    started = time.monotonic()
    command = [sys.executable, "app.py", "retrain", "--data-dir", str(data_dir)]
    subprocess.run(command, cwd=ROOT, check=True)
    wait_for(lambda: adapter_of(url) is not None and answer(url))
    return time.monotonic() - started


def valid_share(report: dict[str, Any]) -> float:
    """Share of valid JSON, asked without the schema, on the held-out combinations."""
    return float(next(m["value"] for m in report["metrics"] if m["name"] == "valid_json"))


def read_validity(data_dir: Path) -> dict[str, float]:
    """What the evaluation found of the base and of the new version."""
    base = json.loads(next((data_dir / "reports").glob("base-*.json")).read_text())
    with Store.open(data_dir) as store:
        report = store.list_adapters()[0].report
    return {"valid_json_before": valid_share(base), "valid_json_after": valid_share(report)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the page and the first answer")
    parser.add_argument("--port", type=int, default=7990, help="port (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = folder / "data"
        if not arguments.quick:
            import_examples(data_dir, folder)
        started = time.monotonic()
        with make_run(data_dir, arguments.port) as url:
            page = wait_for(lambda: "chat-input" in httpx.get(url + "/config", timeout=30).text)
            first = wait_for(lambda: answer(url))
            result = {"page_s": page - started, "first_answer_s": first - started}
            if not arguments.quick:
                result["retrain_s"] = measure_retrain(url, data_dir)
        if not arguments.quick:
            result |= read_validity(data_dir)
    for key, value in result.items():
        print(f"{key:20} {value:8.3f}")
    print("RESULT", json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    main()
