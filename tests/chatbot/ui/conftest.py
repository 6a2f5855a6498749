"""A real Chromium, and a page server for each test file that asks for one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[3]
START_S = 90
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

Serve = Callable[..., str]
OpenPage = Callable[..., "Page"]


def find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/ui/ui.js", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"The page server did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts page servers with flags of page_server.py; gives their address."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*flags: str) -> str:
        folder = tmp_path_factory.mktemp("page")
        port = find_free_port()
        command = [sys.executable, "-m", "tests.chatbot.ui.page_server", "--port", str(port)]
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--data", str(folder / "data"), *flags],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
            )
        processes.append(process)
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, process, log)
        return url

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: Playwright's loop must have ended before the next asyncio test."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # on however busy a machine
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, each as a new person; fails the test on an error of a script."""
    contexts: list[Any] = []
    errors: list[str] = []

    def open_new(url: str, **options: Any) -> Page:
        usual: dict[str, Any] = {
            "viewport": {"width": 1280, "height": 860},
            "locale": "ko-KR",
            "reduced_motion": "reduce",
        }
        context = browser.new_context(**{**usual, **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector(".eco-header")
        page.wait_for_selector(
            "#chat-list .eco-talks, #chat-list .eco-side-empty", state="attached"
        )
        return page

    yield open_new
    for context in contexts:
        context.close()
    assert errors == []
