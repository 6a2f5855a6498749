import pytest
from playwright.sync_api import Page, expect

from tests.chatbot.ui.conftest import OpenPage, Serve

pytestmark = pytest.mark.slow


def open_tab(open_page: OpenPage, url: str, name: str = "finetune") -> Page:
    page = open_page(f"{url}/studio/")
    page.click(f"#tab-{name}-button")
    return page


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--num-rated", "4")


def accept_all(page: Page) -> None:
    page.click("#tab-curate-button")
    for _ in range(4):
        if page.locator("#curate-row").count() == 0:
            break
        before = page.get_attribute("#curate-row", "data-example")
        page.keyboard.press("a")
        page.wait_for_function(
            "id => document.querySelector('#curate-row')?.dataset.example !== id", arg=before
        )
    page.click("#tab-finetune-button")


def test_the_button_says_what_is_missing_then_the_whole_loop_runs(
    url: str, open_page: OpenPage
) -> None:
    page = open_tab(open_page, url)
    expect(page.locator("#retrain-missing")).to_contain_text("2개 더 필요해요")
    expect(page.locator("#retrain-start")).to_be_disabled()
    page.click("#tab-curate-button")
    page.wait_for_selector("#curate-row")
    accept_all(page)
    page.click("#retrain-start")
    expect(page.locator("#retrain-stage")).to_have_attribute("data-stage", "train")
    expect(page.locator("#loss-plot svg")).to_be_visible()
    page.reload()
    page.click("#tab-finetune-button")
    expect(page.locator("#retrain-running")).to_be_visible()
    expect(page.locator("#retrain-result")).to_have_attribute("data-stage", "done", timeout=30_000)
    expect(page.locator("#retrain-result")).to_contain_text("v0001 버전이 이제 답해요")
    expect(page.locator("#engine-status")).to_contain_text("v0001")
    expect(page.locator("#retrain-start")).to_be_enabled()


def test_a_retrain_can_be_cancelled(url: str, open_page: OpenPage) -> None:
    page = open_tab(open_page, url)
    page.click("#retrain-start")
    page.click("#retrain-cancel")
    expect(page.locator("#retrain-result")).to_have_attribute("data-stage", "cancelled")
    expect(page.locator("#retrain-result")).to_contain_text("바뀐 것은 없어요")
    page.click("#retrain-resume")  # what was trained so far is not lost
    expect(page.locator("#retrain-running")).to_be_visible()
    page.click("#retrain-cancel")
    expect(page.locator("#retrain-resumable")).to_be_visible()


def test_a_failure_is_told_with_the_stage_and_the_log(url: str, open_page: OpenPage) -> None:
    page = open_tab(open_page, url)
    page.check("#recipe-thorough", force=True)
    page.click("#retrain-start")
    expect(page.locator("#retrain-result")).to_have_attribute(
        "data-stage", "failed", timeout=30_000
    )
    expect(page.locator("#retrain-result")).to_contain_text("학습 과정이 멈췄어요")
    page.click("#retrain-result summary")
    expect(page.locator("#retrain-log")).to_contain_text("step 1")
