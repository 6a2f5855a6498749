"""The two pages as a whole: who may do what, light and dark, labels and contrast."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.chatbot.ui.conftest import OpenPage, Serve

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
TABS = ("chat", "arena", "curate", "finetune", "adapters", "insights")
# Text whose contrast with what lies behind it is below AA, and controls without a name.
FIND_FAULTS = """() => {
  const parse = (text) => {
    const n = (text.match(/[\\d.]+/g) || []).map(Number);
    const scale = text.startsWith("color(srgb") ? 255 : 1;
    return [n[0] * scale, n[1] * scale, n[2] * scale, n[3] === undefined ? 1 : n[3]];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => {
      const s = c / 255;
      return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faults = [];
  for (const element of document.querySelectorAll(".gradio-container *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) {
      continue;
    }
    const box = element.getBoundingClientRect();
    if (box.width < 2 || element.closest(":disabled, svg, [aria-hidden=true]")) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const [a, b] = [light(over(parse(style.color), back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 ||
      (parseFloat(style.fontSize) >= 18.66 && parseInt(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5) - 0.01) {
      faults.push(`contrast ${ratio.toFixed(2)}: ${element.textContent.trim().slice(0, 30)}`);
    }
  }
  const named = (e) => (e.getAttribute("aria-label") || e.title || e.innerText || "").trim() ||
    (e.labels && [...e.labels].some((l) => l.innerText.trim() || l.textContent.trim())) ||
    e.getAttribute("aria-labelledby") || e.placeholder;
  for (const e of document.querySelectorAll("button, a, select, textarea, input")) {
    if (e.type === "hidden" || !e.checkVisibility()) continue;
    if (!named(e)) faults.push(`no name: ${e.outerHTML.slice(0, 120)}`);
  }
  for (const e of document.querySelectorAll("img")) {
    if (!e.hasAttribute("alt")) faults.push(`no alt: ${e.outerHTML.slice(0, 120)}`);
  }
  return faults;
}"""


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--num-rated", "6", "--num-versions", "2")


@pytest.fixture(scope="module")
def guarded_url(serve: Serve) -> str:
    return serve("--password", PASSWORD, "--num-rated", "3")


def visit_tab(page: Page, name: str) -> None:
    page.click(f"#tab-{name}-button")
    page.wait_for_timeout(800)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_text_is_readable_and_every_control_has_a_name(
    url: str, open_page: OpenPage, scheme: str, locale: str
) -> None:
    page = open_page(f"{url}/studio/", color_scheme=scheme, locale=locale)
    faults: list[Any] = []
    page.click("#example-1")
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3)
    page.click("#thumb-up")
    page.wait_for_selector("#reason-panel")
    for name in TABS:
        visit_tab(page, name)
        faults += [f"{name}: {fault}" for fault in page.evaluate(FIND_FAULTS)]
    assert faults == []


def test_the_theme_switch_is_remembered(url: str, open_page: OpenPage) -> None:
    page = open_page(url, color_scheme="light")
    assert "dark" not in (page.get_attribute("body", "class") or "")
    page.click("#theme-switch")
    page.reload()
    page.wait_for_selector(".eco-header")
    assert "dark" in (page.get_attribute("body", "class") or "")


def test_nothing_is_asked_of_another_machine(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector(".eco-welcome")
    page.wait_for_timeout(500)
    assert [url_ for url_ in asked if not url_.startswith((url, "data:", "blob:"))] == []


def test_there_is_no_footer_of_gradio(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    expect(page.locator("footer")).to_be_hidden()
    assert "Gradio" not in page.inner_text("body")
    assert page.title() == "EcoLoop"


def test_the_studio_needs_a_login_and_has_a_way_out(guarded_url: str, open_page: OpenPage) -> None:
    page = open_page(guarded_url)
    page.goto(f"{guarded_url}/studio/")
    page.fill("input[type=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#tab-curate-button")
    page.click("#log-out")
    page.wait_for_selector("input[type=password]")


def call(url: str, body: dict[str, Any]) -> int:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("path", ["queue/join", "run/predict", "call/on_act", "api/on_act"])
def test_no_route_of_the_studio_opens_without_a_login(guarded_url: str, path: str) -> None:
    body = {"data": [], "fn_index": 0, "session_hash": "x"}
    assert call(f"{guarded_url}/studio/gradio_api/{path}", body) == 401


def test_own_data_is_only_ones_own(guarded_url: str, tmp_path: Path) -> None:
    with urllib.request.urlopen(f"{guarded_url}/ui/my-data", timeout=10) as response:
        assert "쓰레기를 줄이고 싶어요" not in response.read().decode()
