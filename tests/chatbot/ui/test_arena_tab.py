from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import expect

from chatbot.engines.base import AdapterRef
from chatbot.service import ChatService
from chatbot.ui.arena_tab import ArenaTab
from chatbot.ui.parts import Parts
from feedback_store.store import Store
from tests.chatbot.ui.conftest import OpenPage, Serve
from tests.chatbot.ui.scripted_learning import ScriptedLearning, add_version
from tests.scripted_engine import ScriptedEngine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened


async def make_tab(store: Store, waiting: str, *loaded: str) -> ArenaTab:
    """Production is v0001; the engine has these versions."""
    store.set_alias("production", add_version(store), actor="retrain", reason="passed")
    engine = ScriptedEngine()
    for name in loaded:
        await engine.load(AdapterRef(name, Path("/x")))
    learning = ScriptedLearning(store, why_waiting=waiting)
    chat = ChatService(store, engine, lambda: None)
    parts = Parts(chat, store, engine.status, learning, lambda _request: ("p", None))
    return ArenaTab(parts, is_studio=False)


@pytest.mark.parametrize(
    ("waiting", "loaded", "expected"),
    [
        ("", ("v0001",), {"", "v0001"}),
        ("The folder is gone.", ("v0002",), {"", "v0002"}),
    ],
)
async def test_what_answers_is_compared_be_it_the_base_while_production_waits(
    store: Store, waiting: str, loaded: tuple[str, ...], expected: set[str]
) -> None:
    tab = await make_tab(store, waiting, *loaded)
    pair = await tab._draw()
    assert pair is not None
    assert set(pair) == expected


async def test_with_the_base_alone_it_is_said_why_nothing_can_be_compared(store: Store) -> None:
    tab = await make_tab(store, "The folder is gone.")
    assert (await tab._draw(), tab._explain_no_pair()) == (None, "arena_base_only")
    settled = ArenaTab(replace(tab.parts, learning=ScriptedLearning(store)), is_studio=False)
    assert (await settled._draw(), settled._explain_no_pair()) == (None, "arena_needs_two")


async def test_opening_the_tab_leaves_a_round_alone_that_has_begun(store: Store) -> None:
    arena = await make_tab(store, "", "v0001")
    with gr.Blocks() as demo, gr.Tab() as tab:
        arena.build()
        arena.wire_select(tab)
    drawn = {
        part.elem_id
        for event in demo.fns.values()
        if (tab._id, "select") in event.targets
        for part in event.outputs
    }
    assert drawn == {"arena-below"}


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--num-versions", "1", "--num-per-minute", "3")


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_public_arena_works_for_everybody(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    page.click("#tab-arena-button")
    page.fill("#arena-input textarea", "집에서 할 만한 챌린지를 알려 주세요")
    page.press("#arena-input textarea", "Enter")
    page.wait_for_selector("#arena-vote-both")
    page.click("#arena-vote-both")
    expect(page.locator("#arena-round")).to_contain_text("저장했어요")


@pytest.mark.slow
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


@pytest.mark.slow
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
