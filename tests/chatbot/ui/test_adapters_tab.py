from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Page, expect
from starlette.requests import Request

from chatbot.service import ChatService
from chatbot.ui.adapters_tab import AdaptersTab
from chatbot.ui.header import Header
from chatbot.ui.parts import Parts
from feedback_store.store import Store
from tests.chatbot.ui.conftest import OpenPage, Serve
from tests.chatbot.ui.scripted_learning import ScriptedLearning, add_version
from tests.scripted_engine import ScriptedEngine

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}


def test_the_tab_says_that_the_base_answers_while_production_waits(tmp_path: Path) -> None:
    with Store.open(tmp_path / "data") as store:
        store.set_alias("production", add_version(store), actor="retrain", reason="passed")
        engine = ScriptedEngine()
        learning = ScriptedLearning(store, why_waiting="v0001 was trained on kanana.")
        chat = ChatService(store, engine, lambda: None)
        parts = Parts(chat, store, engine.status, learning, lambda _request: ("p_1", "admin"))
        tab = AdaptersTab(parts, Header(parts, is_studio=True))
        html, status = tab.on_look(gr.Request(Request(SCOPE)))
    assert "v0001 버전을 학습한 기본 모델(kanana)이 지금 켜진 것(starter)과 달라요" in html
    assert ">v0001 was trained on kanana." not in html
    assert 'id="adapter-current" data-version=""' in html
    assert html.count("eco-version-live") == 1
    assert "v0001" not in status


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--num-versions", "2")


@pytest.fixture
def page(url: str, open_page: OpenPage) -> Page:
    opened = open_page(f"{url}/studio/")
    opened.click("#tab-adapters-button")
    opened.wait_for_selector("#adapters-table")
    return opened


@pytest.mark.slow
def test_one_click_rolls_back_and_another_promotes_again(page: Page) -> None:
    current = page.locator("#adapter-current")
    expect(current).to_have_attribute("data-version", "v0002")
    page.click("#adapter-rollback")
    expect(current).to_have_attribute("data-version", "v0001")
    expect(page.locator("#engine-status")).to_contain_text("v0001")
    page.click("#adapter-promote-v0002")
    expect(current).to_have_attribute("data-version", "v0002")
    expect(page.locator("#adapter-events li").first).to_contain_text("직접 바꿈")


@pytest.mark.slow
def test_figures_stand_beside_those_of_the_version_before(page: Page) -> None:
    newer = page.locator("article[data-version=v0002]")
    expect(newer.locator("[data-metric=valid_json]")).to_contain_text("70%")
    expect(newer.locator(".eco-change-good").first).to_have_text("+10")
    newer.locator("summary").first.click()
    expect(newer.locator(".eco-answers")).to_contain_text("가볍게 시작해")


@pytest.mark.slow
def test_a_refused_version_needs_a_reason(page: Page) -> None:
    refused = page.locator("article[data-version=v0003]")
    refused.locator("summary").last.click()
    page.fill("#adapter-reason-v0003", "짧음")
    page.click("#adapter-override-v0003")
    expect(page.locator("#adapter-current")).to_have_attribute("data-version", "v0002")
    page.fill("#adapter-reason-v0003", "현장 시험을 위해 잠시 씁니다")
    page.click("#adapter-override-v0003")
    expect(page.locator("#adapter-current")).to_have_attribute("data-version", "v0003")
    expect(page.locator("#adapter-events")).to_contain_text("현장 시험을 위해")
    page.click("#adapter-rollback")
    expect(page.locator("#adapter-current")).to_have_attribute("data-version", "v0002")


@pytest.mark.slow
def test_a_version_is_tried_on_a_share_of_the_talks_until_somebody_ends_it(page: Page) -> None:
    page.select_option("#trial-share-v0001", "0.2")
    page.click("#trial-start-v0001")
    expect(page.locator("#adapter-trial")).to_have_attribute("data-version", "v0001")
    expect(page.locator("#adapter-trial")).to_contain_text("20%")
    expect(page.locator(".eco-point-trial")).to_have_attribute("data-version", "v0001")
    page.click("#trial-stop")
    expect(page.locator("#adapter-trial")).to_have_count(0)
    expect(page.locator("#adapter-events li").first).to_contain_text("v0001 시험 끝")


@pytest.mark.slow
def test_any_two_versions_are_compared_and_one_is_retired(page: Page) -> None:
    page.select_option("#compare-left", "v0003")
    page.select_option("#compare-right", "v0002")
    page.click("#compare-send")
    compared = page.locator("#adapters-comparison")
    expect(compared.locator("tr[data-metric=valid_json]")).to_contain_text("+40")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#adapter-retire-v0003")
    expect(page.locator("article[data-version=v0003]")).to_have_attribute("data-state", "retired")
