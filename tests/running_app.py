"""Start the real application as its users do, for slow tests and benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass(frozen=True)
class RunningApp:
    """The process, where it listens, and where it writes."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    log_path: Path

    def log(self) -> str:
        """What it printed so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_page(self, timeout_s: float = 60.0) -> float:
        """Seconds until the page is there."""
        return self._wait(timeout_s, lambda: self._get("/studio/").status_code < 500)

    def wait_ready(self, timeout_s: float = 240.0) -> float:
        """Seconds until the engine answers."""
        return self._wait(timeout_s, lambda: self._get("/health").json()["status"] == "ready")

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=10, follow_redirects=True)

    def _wait(self, timeout_s: float, is_there) -> float:
        started = time.monotonic()
        while time.monotonic() - started < timeout_s:
            assert self.process.poll() is None, self.log()
            try:
                if is_there():
                    return time.monotonic() - started
            except (httpx.HTTPError, ValueError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"not there after {timeout_s} s:\n{self.log()}")


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_app(data_dir: Path, *flags: str) -> Iterator[RunningApp]:
    """`python app.py` on a free port; ended by SIGTERM, as a service manager does."""
    port, log_path = free_port(), data_dir.parent / f"{data_dir.name}.log"
    command = [sys.executable, "app.py", "--data-dir", str(data_dir), "--port", str(port), *flags]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield RunningApp(process, f"http://127.0.0.1:{port}", data_dir, log_path)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
