import pytest
from playwright.sync_api import expect

from tests.chatbot.ui.conftest import OpenPage, Serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--num-versions", "1", "--num-per-minute", "3")


def test_a_vote_is_given_blind_and_then_counted(url: str, open_page: OpenPage) -> None:
    page = open_page(f"{url}/studio/")
    page.click("#tab-arena-button")
    page.fill("#arena-input textarea", "주말에 할 만한 챌린지를 알려 주세요")
    page.click("#arena-ask")
    page.wait_for_selector("#arena-vote-left")
    assert "v000" not in page.inner_text("#arena-round")
    page.keyboard.press("1")
    expect(page.locator("#arena-left .eco-tag").first).to_be_visible()
    expect(page.locator("#arena-standings tbody tr")).to_have_count(2)
    expect(page.locator("#arena-standings tbody tr").first).to_contain_text("100%")


def test_the_public_arena_works_for_everybody(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    page.click("#tab-arena-button")
    page.fill("#arena-input textarea", "집에서 할 만한 챌린지를 알려 주세요")
    page.press("#arena-input textarea", "Enter")
    page.wait_for_selector("#arena-vote-both")
    page.click("#arena-vote-both")
    expect(page.locator("#arena-round")).to_contain_text("저장했어요")


def test_an_answer_that_is_refused_says_so_at_its_side(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    page.click("#tab-arena-button")
    page.fill("#arena-input textarea", "하나 물어볼게요")
    page.press("#arena-input textarea", "Enter")
    page.wait_for_selector("#arena-vote-both")
    page.fill("#arena-input textarea", "또 물어볼게요")
    page.press("#arena-input textarea", "Enter")
    expect(page.locator("#arena-right .eco-notice")).to_contain_text("잠시 뒤")
    expect(page.locator("#arena-left .eco-card")).to_have_count(3)
    expect(page.locator("#arena-vote-both")).to_have_count(0)
    page.fill("#arena-input textarea", "세 번째예요")
    page.press("#arena-input textarea", "Enter")
    expect(page.locator(".toast-body")).to_contain_text("잠시 뒤")
    assert page.input_value("#arena-input textarea") == "세 번째예요"


def test_with_one_version_it_says_what_is_needed(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(f"{serve()}/studio/")
    page.click("#tab-arena-button")
    page.fill("#arena-input textarea", "질문이에요")
    page.click("#arena-ask")
    expect(page.locator(".toast-body")).to_contain_text("버전이 둘은 있어야")
    page.wait_for_timeout(500)
    assert page.input_value("#arena-input textarea") == "질문이에요"
    expect(page.locator("#arena-ask")).to_have_text("물어보기")
    expect(page.locator("#arena-empty")).to_be_visible()
