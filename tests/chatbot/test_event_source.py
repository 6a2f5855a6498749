"""The stream as a real browser's EventSource reads it."""

import shutil
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.responses import HTMLResponse

from chatbot.recommendation import Challenge, Recommendation, canonical, to_text
from chatbot.service import ChatService
from tests.chatbot.conftest import MakeService
from tests.chatbot.live_server import serve
from tests.chatbot.test_api import BASE, FREE, INFO, build_app
from tests.scripted_engine import Script

pytestmark = pytest.mark.slow

HARD = Recommendation(
    '줄 바꿈\u2028과 \u0085, 이모지 👨‍👩‍👧‍👦, 따옴표 "와 역슬래시 \\ 그리고\n진짜 줄 바꿈.',
    tuple(Challenge(f"제목 {n} 🇰🇷", "설명 {중괄호} [대괄호]") for n in (1, 2, 3)),
)
LISTEN = """
url => new Promise(resolve => {
  const seen = [];
  const source = new EventSource(url);
  let opened = 0;
  source.onopen = () => opened++;
  const take = event => {
    seen.push([event.type, event.data === undefined ? null : JSON.parse(event.data)]);
    if (event.type === 'challenge') return;
    source.close();
    setTimeout(() => resolve({seen, opened}), 300);
  };
  const names = ['challenge', 'close', 'error', 'message'];
  for (const name of names) source.addEventListener(name, take);
})
"""


async def listen(service: ChatService, path: str, fields: dict[str, str]) -> Any:
    """What the browser saw, in order, and how often it connected."""
    from playwright.async_api import async_playwright

    app = build_app(service)
    app.add_api_route("/", lambda: HTMLResponse("<!doctype html><title>client</title>"))
    async with serve(app) as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = await browser.new_page()
        await page.goto(url)
        seen = await page.evaluate(LISTEN, f"{path}?{urlencode(fields)}")
        await browser.close()
    return seen


async def test_a_browser_sees_pieces_in_order_and_one_close_last(
    make_service: MakeService,
) -> None:
    script = Script(text=canonical(HARD), piece=3, tokens_per_s=300)
    result = await listen(make_service(script), BASE, INFO)
    *pieces, (last, close) = result["seen"]
    assert result["opened"] == 1
    assert len(pieces) > 5
    assert {name for name, _ in pieces} == {"challenge"}
    assert "".join(data["data"] for _, data in pieces) == to_text(HARD)
    assert last == "close"
    assert close["data"]["recommend"] == HARD.recommend
    assert [entry["title"] for entry in close["data"]["challenges"]] == [
        challenge.title for challenge in HARD.challenges
    ]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [(BASE, {**INFO, "category": "우주"}, 400), (FREE, {"sessionId": "s", "message": "네"}, 422)],
)
async def test_a_browser_reads_the_error_of_bad_input(
    make_service: MakeService, path: str, fields: dict[str, str], status: int
) -> None:
    result = await listen(make_service(), path, fields)
    [(name, data)] = result["seen"]
    assert (name, data["status"], data["data"]) == ("error", status, None)
    assert data["invalidFields"]


async def test_a_browser_reads_the_error_of_an_answer_that_broke_off(
    make_service: MakeService,
) -> None:
    script = Script(text=canonical(HARD)[:60], finish_reason="length")
    result = await listen(make_service(script), BASE, INFO)
    assert [name for name, _ in result["seen"]][-1] == "error"
    assert result["seen"][-1][1]["status"] == 502
