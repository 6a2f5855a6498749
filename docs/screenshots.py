"""Takes the screenshots of docs/images: `python -m docs.screenshots` from the project's folder.

Two page servers with a scripted engine stand behind them, so that the pictures show the same
everywhere and need no model.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from chatbot.ui.i18n import TEXTS
from tests.chatbot.ui.conftest import CHROMIUM_FLAGS, find_free_port

IMAGES = Path(__file__).with_name("images")
WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}
QUESTIONS = {"ko": "사무실에서 쓰레기를 줄이고 싶어요", "en": "I want to cut waste at the office"}
PATIENCE_MS = 90_000  # on a machine that does other things, too
LOCALES = {"ko": "ko-KR", "en": "en-US"}


@contextmanager
def serve(*flags: str) -> Iterator[str]:
    """A page server with the flags of tests/chatbot/ui/page_server.py."""
    port = find_free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.chatbot.ui.page_server", "--port", str(port)]
        process = subprocess.Popen([*command, "--data", folder, *flags])
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                with suppress(OSError), urllib.request.urlopen(f"{url}/ui/ui.js", timeout=1):
                    break
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait(20)


class Camera:
    """Opens pages in one language, width and theme, and names their pictures by them."""

    def __init__(self, browser: Browser, lang: str, size: dict[str, int], scheme: str) -> None:
        self.browser = browser
        self.lang = lang
        self.options: dict[str, Any] = {
            "viewport": size,
            "locale": LOCALES[lang],
            "color_scheme": scheme,
            "reduced_motion": "reduce",
        }
        narrow = "-narrow" if size is NARROW else ""
        dark = "-dark" if scheme == "dark" else ""
        self.suffix = f"{lang}{narrow}{dark}"

    def open(self, url: str) -> Page:
        """A page as a new person sees it."""
        page = self.browser.new_context(**self.options).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        page.wait_for_selector("#chat-list :is(ul, p)", state="attached")
        page.wait_for_selector(".eco-welcome")
        return page

    def take(self, page: Page, name: str, *, is_whole: bool = False) -> None:
        """One picture, after things have come to rest."""
        page.wait_for_timeout(700)
        page.evaluate("document.querySelectorAll('.toast-wrap').forEach((e) => e.remove())")
        path = IMAGES / f"{name}-{self.suffix}.png"
        page.screenshot(path=path, full_page=is_whole)
        print(path.name)

    def open_tab(self, page: Page, name: str) -> None:
        """By its button, which a narrow page keeps in a menu."""
        if page.locator(f"#tab-{name}-button").count():
            page.evaluate(f"document.querySelector('#tab-{name}-button').click()")
            return
        page.click(".overflow-menu > button")
        page.get_by_role("button", name=TEXTS[self.lang][f"tab_{name}"], exact=True).last.click()

    def chat(self, url: str) -> None:
        """First screen, streaming, answer with the reason panel, edit form."""
        page = self.open(url)
        self.take(page, "chat-first")
        page.fill("#chat-input textarea", QUESTIONS[self.lang])
        page.press("#chat-input textarea", "Enter")
        page.wait_for_selector("#card-live-1")
        page.screenshot(path=IMAGES / f"chat-streaming-{self.suffix}.png")
        page.wait_for_selector("#thumb-up")
        self.take(page, "chat-answer")
        page.click("#thumb-down")
        page.wait_for_selector("#reason-panel")
        page.evaluate("document.querySelector('#reason-panel').scrollIntoView({block: 'end'})")
        self.take(page, "chat-reasons")
        page.click("#reason-close")
        page.click("#edit-open")
        page.wait_for_selector("#edit-form")
        self.take(page, "chat-edit")
        page.context.close()

    def chat_troubles(self, url: str) -> None:
        """An answer that was cut, and one that failed."""
        page = self.open(url)
        for number, text in enumerate(("중간에 끊긴 답", "실패한 답"), 1):
            page.fill("#chat-input textarea", text)
            page.press("#chat-input textarea", "Enter")
            page.wait_for_function(
                "n => document.querySelectorAll('#chat-transcript article').length === n",
                arg=number,
            )
        self.take(page, "chat-troubles", is_whole=True)
        page.context.close()

    def studio(self, url: str) -> None:
        """Every other tab of the studio."""
        page = self.open(f"{url}/studio/")
        tabs: dict[str, tuple[str, Callable[[Page], None]]] = {
            "curate": ("#curate-row", lambda _: None),
            "finetune": ("#retrain-start", _run_a_while),
            "adapters": ("#adapters-table", lambda _: None),
            "insights": ("#insights-advice", lambda _: None),
            "arena": ("#arena-empty, #arena-round", _ask_both),
        }
        for name, (wanted, prepare) in tabs.items():
            self.open_tab(page, name)
            page.wait_for_selector(wanted)
            prepare(page)
            self.take(page, name, is_whole=name in ("adapters", "insights"))
        page.context.close()

    def empty_studio(self, url: str) -> None:
        """The tabs before anything happened."""
        page = self.open(f"{url}/studio/")
        for name, wanted in (
            ("curate", "#curate-empty"),
            ("finetune", "#retrain-missing"),
            ("adapters", "#adapters-empty"),
        ):
            self.open_tab(page, name)
            page.wait_for_selector(wanted)
            self.take(page, f"{name}-empty")
        page.context.close()


def _run_a_while(page: Page) -> None:
    if page.locator("#retrain-start").is_enabled():
        page.click("#retrain-start")
    page.wait_for_selector("#loss-plot")
    page.wait_for_timeout(1500)


def _ask_both(page: Page) -> None:
    lang = page.evaluate("document.documentElement.lang")
    page.fill("#arena-input textarea", QUESTIONS[lang])
    page.click("#arena-ask")
    page.wait_for_selector("#arena-vote-left")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    path = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ("--num-rated", "16", "--num-accepted", "4", "--num-versions", "2")
    flags += ("--tokens-per-s", "40")  # slow enough for a picture in the middle of an answer
    with (
        sync_playwright() as playwright,
        serve(*flags) as full,
        serve("--warm-file", "never") as bare,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        for lang in LOCALES:
            for size in (WIDE, NARROW):
                camera = Camera(browser, lang, size, "light")
                camera.chat(full)
                camera.studio(full)
        dark = Camera(browser, "ko", WIDE, "dark")
        dark.chat(full)
        dark.studio(full)
        korean = Camera(browser, "ko", WIDE, "light")
        korean.chat_troubles(full)
        korean.empty_studio(bare)
        warm = korean.open(bare)
        warm.fill("#chat-input textarea", QUESTIONS["ko"])
        warm.press("#chat-input textarea", "Enter")
        warm.wait_for_selector("#chat-live article[data-phase=warming]")
        korean.take(warm, "chat-warming")
        browser.close()


if __name__ == "__main__":
    main()
