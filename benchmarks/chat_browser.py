"""Frames and stalls of the chat page in a real Chromium: while an answer streams (its last frame,
with the finished answer, included), and from the sending of the question on.
"""

from __future__ import annotations

import shutil
from typing import Any

WATCH = """
() => {
  window.frames_seen = []; window.stalls_seen = [];
  const tick = now => { window.frames_seen.push(now); requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  new PerformanceObserver(list => {
    const stalls = list.getEntries().map(entry => [entry.startTime, entry.duration]);
    window.stalls_seen.push(...stalls);
  }).observe({type: 'longtask'});
}
"""
OPEN = "[data-action='open'][data-id='long']"
WRITING = "() => document.querySelector('#chat-live .eco-recommend')?.textContent"
IDLE_MS = 5_000  # the same page when nothing happens: what this machine can show at most
WHOLE = "() => document.querySelectorAll('#chat-transcript article.eco-turn').length > 40"


async def measure_browser(ready: dict[str, Any]) -> dict[str, float]:
    """Open the seeded conversation of 40 turns, ask once more, and watch while it is answered."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = await browser.new_context(locale="ko-KR", viewport={"width": 1280, "height": 800})
        await context.add_cookies(
            [{"name": ready["cookie_name"], "value": ready["cookie"], "url": ready["url"]}]
        )
        page = await context.new_page()
        await page.goto(ready["url"])
        await page.locator(OPEN).first.click()
        await page.get_by_text("39번째로 더 알려줘").first.wait_for()
        await page.wait_for_timeout(1500)
        await page.evaluate(WATCH)
        await page.wait_for_timeout(IDLE_MS)
        begin = await page.evaluate("performance.now()")
        await page.locator("#chat-input textarea").fill("이번에는 다른 챌린지도 알려줘")
        await page.locator("#chat-send").click()
        await page.wait_for_function(WRITING, timeout=30_000)
        writing = await page.evaluate("performance.now()")
        await page.wait_for_function(WHOLE, timeout=30_000)
        end = await page.evaluate("performance.now()")
        frames = await page.evaluate("window.frames_seen")
        stalls = await page.evaluate("window.stalls_seen")
        await browser.close()
    worst = max((length for at, length in stalls if begin <= at <= end), default=0.0)
    return {
        "browser_fps": frames_per_s([at for at in frames if writing <= at <= end]),
        "browser_sent_fps": frames_per_s([at for at in frames if begin <= at <= end]),
        "browser_idle_fps": frames_per_s([at for at in frames if at < begin]),
        "browser_worst_stall_ms": worst,
    }


def frames_per_s(shown: list[float]) -> float:
    """Of frames at these milliseconds."""
    return (len(shown) - 1) / (shown[-1] - shown[0]) * 1000
