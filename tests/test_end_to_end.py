"""The whole loop as a person lives it: real Chromium, real vLLM on the CPU, the real trainer."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from feedback_store.store import Store
from setup_env import find_chromium
from tests.running_app import BROWSER_FLAGS, ROOT, running_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MINUTE = 60_000


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with running_app(tmp_path_factory.mktemp("loop") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def page(app):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(BROWSER_FLAGS)
        )
        context = browser.new_context(locale="ko-KR", viewport={"width": 1280, "height": 900})
        app.wait_page()
        page = context.new_page()
        page.goto(app.url)
        yield page
        browser.close()


def open_tab(page: Page, name: str) -> None:
    page.locator(f"#tab-{name}-button").click()


def ask(page: Page, text: str) -> int:
    """Send a message; the id of the stored turn, once its three cards are there."""
    shown = page.locator("#chat-transcript article[data-turn]")
    before = shown.count()
    page.locator("#chat-input textarea").fill(text)
    page.locator("#chat-send").click()
    expect(shown).to_have_count(before + 1, timeout=2 * MINUTE)
    turn = shown.last
    expect(turn).to_have_attribute("data-status", "ok")
    turn_id = int(turn.get_attribute("data-turn"))
    for number in (1, 2, 3):
        expect(page.locator(f"#card-{turn_id}-{number}")).to_be_visible()
    return turn_id


def wait_ready(page: Page) -> None:
    expect(page.locator("#engine-status .eco-status")).to_have_attribute(
        "data-state", "ready", timeout=3 * MINUTE
    )


def current_version(page: Page) -> str | None:
    return page.locator("#adapter-current").get_attribute("data-version")


def run_app(*words: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *words, "--data-dir", str(data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_page_is_there_while_the_engine_warms_up(page):
    status = page.locator("#engine-status .eco-status")
    expect(status).to_have_attribute("data-state", re.compile("starting|ready"))
    expect(page.locator("#chat-input textarea")).to_be_editable()


def test_a_korean_question_gets_three_cards_from_the_base_model(page):
    wait_ready(page)
    turn_id = ask(page, "바닷가에서 재택근무하는데 쓰레기를 줄이고 싶어요")
    assert re.search("[가-힣]", page.locator(f"#card-{turn_id}-1").inner_text())
    badge = page.locator(f'article[data-turn="{turn_id}"] .eco-badge')
    expect(badge).to_have_attribute("data-version", "")
    expect(page.locator("#chat-chips")).to_contain_text("바닷가")
    expect(page.locator("#chat-chips")).to_contain_text("제로웨이스트")


def test_a_thumb_up_with_a_reason_is_kept(page):
    page.locator("#thumb-up").click()
    panel = page.locator("#reason-panel")
    expect(panel).to_be_visible()
    panel.locator("label").first.click()
    page.locator("#reason-send").click()
    expect(page.locator("#thumb-up")).to_have_attribute("aria-pressed", "true")


def test_an_answer_is_edited_in_place(page):
    turn_id = ask(page, "전기 요금을 아끼는 챌린지를 알려 주세요")
    page.locator("#edit-open").click()
    field = page.locator("#edit-title-1")
    field.fill("안 쓰는 플러그 뽑기")
    page.locator("#edit-save").click()
    expect(page.locator(f"#card-{turn_id}-1")).to_contain_text("안 쓰는 플러그 뽑기")


def test_both_wait_in_curate_and_are_accepted(page):
    open_tab(page, "curate")
    pending = page.locator("#curate-counts [data-count=pending] b")
    expect(pending).to_have_text("2", timeout=MINUTE)
    for left in ("1", "0"):
        page.locator("#curate-accept").click()
        expect(pending).to_have_text(left, timeout=MINUTE)
    expect(page.locator("#curate-counts [data-count=accepted] b")).to_have_text("2")


def test_the_starter_examples_are_imported_and_accepted(page):
    page.locator("#curate-starter").click()
    pending = page.locator("#curate-counts [data-count=pending] b")
    expect(pending).to_have_text("120", timeout=MINUTE)
    page.keyboard.press("b")
    page.locator("#curate-bulk-accept").click()
    page.locator("#curate-plan-go").click(timeout=MINUTE)
    accepted = page.locator("#curate-counts [data-count=accepted] b")
    expect(accepted).to_have_text("122", timeout=MINUTE)


def test_one_click_retrains_and_promotes_v0001(page):
    open_tab(page, "finetune")
    expect(page.locator("#retrain-start")).to_be_enabled(timeout=MINUTE)
    page.locator("#retrain-start").click()
    expect(page.locator("#retrain-running")).to_be_visible(timeout=MINUTE)
    expect(page.locator("#loss-plot")).to_be_visible(timeout=3 * MINUTE)
    result = page.locator("#retrain-result")
    expect(result).to_be_visible(timeout=10 * MINUTE)
    expect(result).to_have_attribute("data-stage", "done")
    expect(result.locator("[data-outcome]").first).to_have_attribute("data-outcome", "pass")


def test_v0001_answers(page):
    open_tab(page, "chat")
    turn_id = ask(page, "산에서 할 수 있는 플로깅을 추천해 주세요")
    badge = page.locator(f'article[data-turn="{turn_id}"] .eco-badge')
    expect(badge).to_have_attribute("data-version", "v0001")


def test_one_click_rolls_back_to_the_base_model(page):
    open_tab(page, "adapters")
    expect(page.locator("#adapter-current")).to_have_attribute("data-version", "v0001")
    page.locator("#adapter-rollback").click()
    expect(page.locator("#adapter-current")).to_have_attribute("data-version", "", timeout=MINUTE)
    open_tab(page, "chat")
    turn_id = ask(page, "다른 거 추천해 줘")
    badge = page.locator(f'article[data-turn="{turn_id}"] .eco-badge')
    expect(badge).to_have_attribute("data-version", "")


def test_a_second_application_on_the_same_data_folder_is_refused_by_name_and_pid(app):
    result = run_app("chat", data_dir=app.data_dir)
    assert result.returncode == 1
    assert str(app.process.pid) in result.stderr


def test_a_command_is_carried_out_by_the_running_application(app):
    result = run_app("versions", "--json", data_dir=app.data_dir)
    assert result.returncode == 0, result.stderr
    assert '"v0001"' in result.stdout


def test_everything_was_stored(app, page):
    page.close()
    app.process.terminate()
    app.process.wait(45)
    with Store.open(Path(app.data_dir)) as store:
        versions = [row.version for row in store.list_adapters()]
        spoken = [store.get_turn(number).adapter for number in range(1, 5)]
        events = [(e.from_version, e.to_version) for e in store.list_alias_events("production")]
    assert versions == ["v0001"]
    assert spoken == ["", "", "v0001", ""]
    assert events == [("v0001", None), (None, "v0001")]
