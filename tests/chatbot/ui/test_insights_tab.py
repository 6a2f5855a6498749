import pytest
from playwright.sync_api import expect

from tests.chatbot.ui.conftest import OpenPage, Serve

pytestmark = pytest.mark.slow


def test_the_feedback_is_counted_and_advice_is_given(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(f"{serve('--num-rated', '5')}/studio/")
    page.click("#tab-insights-button")
    expect(page.locator("#insights-ratings")).to_contain_text("5")
    expect(page.locator("#insights-ratings .eco-days")).to_be_visible()
    expect(page.locator("#insights-advice")).to_contain_text("2개 더")
    expect(page.locator("#insights-versions")).to_contain_text("기본 모델")
    expect(page.locator("#insights-categories")).to_contain_text("제로웨이스트")


def test_before_the_first_answer_there_is_one_sentence(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(f"{serve()}/studio/")
    page.click("#tab-insights-button")
    expect(page.locator("#insights-empty")).to_be_visible()
