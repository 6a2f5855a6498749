import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chatbot.ui.conftest import OpenPage, Serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve()


def say(page: Page, text: str) -> None:
    page.fill("#chat-input textarea", text)
    page.press("#chat-input textarea", "Enter")


def say_and_wait(page: Page, text: str) -> None:
    before = page.locator("#chat-transcript article").count()
    say(page, text)
    expect(page.locator("#chat-transcript article")).to_have_count(before + 1)
    expect(page.locator("#chat-send")).to_be_visible()


def test_the_first_screen_speaks_the_language_of_the_browser(url: str, open_page: OpenPage) -> None:
    korean = open_page(url)
    expect(korean.locator(".eco-welcome h2")).to_contain_text("지구를 위해")
    expect(korean.locator("#chat-send")).to_have_text("보내기")
    english = open_page(url, locale="en-US")
    expect(english.locator(".eco-welcome h2")).to_contain_text("planet")
    expect(english.locator("#chat-send")).to_have_text("Send")
    assert english.evaluate("document.documentElement.lang") == "en"


def test_the_language_switch_changes_labels_and_answers_and_stays(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url)
    page.click("#lang-switch")
    expect(page.locator(".eco-welcome h2")).to_contain_text("planet")
    expect(page.locator("#chat-location label").first).to_have_text("City")
    page.reload()
    expect(page.locator(".eco-welcome h2")).to_contain_text("planet")


def test_an_example_question_becomes_a_sentence_and_three_cards(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url)
    page.click("#example-1")
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3)
    expect(page.locator(".eco-recommend")).to_contain_text("작은 습관 세 가지")
    shown = page.inner_text("#chat-transcript")
    assert not re.search(r'[{}"\\]', shown)
    expect(page.locator(".eco-badge summary")).to_have_text("기본 모델")


def test_the_three_choices_alone_are_a_question(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    page.click("#chat-ask-base button, button#chat-ask-base")
    expect(page.locator(".toast-body")).to_contain_text("하나씩 골라")
    expect(page.locator(".toast-title")).to_have_text("알림")
    expect(page.locator(".toast-close")).to_have_attribute("aria-label", "닫기")
    page.check("#chat-location input[value=beach]", force=True)
    page.check("#chat-work input[value=remote]", force=True)
    page.check("#chat-category input[value=VEGAN]", force=True)
    page.click("button#chat-ask-base")
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3)
    expect(page.locator(".eco-said .eco-tags")).to_have_text("바닷가재택근무비건")


def test_what_is_refused_at_once_leaves_the_page_as_it_was(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "집에서 할 수 있는 걸 알려 주세요")
    say(page, "   ")
    page.wait_for_timeout(800)
    expect(page.locator("#chat-transcript article")).to_have_count(1)
    expect(page.locator("#chat-send")).to_have_text("보내기")


def test_the_page_shows_what_it_understood_from_the_talk(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "바닷가에 사는데 비건으로 시작하고 싶어요")
    expect(page.locator("#chat-chips .eco-tags")).to_have_text("바닷가사무직비건")
    expect(page.locator("#chat-category input[value=VEGAN]")).to_be_checked()
    expect(page.locator("#chat-chips-panel")).to_be_hidden()
    page.click("#chat-chips button")
    expect(page.locator("#chat-chips-panel")).to_be_visible()


def test_an_enter_that_ends_a_hangul_composition_does_not_send(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url)
    page.fill("#chat-input textarea", "안녕")
    page.evaluate(
        """() => document.querySelector("#chat-input textarea").dispatchEvent(new KeyboardEvent(
        "keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))"""
    )
    page.wait_for_timeout(500)
    expect(page.locator("#chat-input textarea")).to_have_value("안녕")
    expect(page.locator(".eco-welcome")).to_be_visible()


def test_a_thumb_and_its_reasons_are_kept(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.click("#thumb-down")
    expect(page.locator("#reason-panel legend")).to_have_text("어떤 점이 아쉬웠나요?")
    page.check("#reason-panel input[value=too_hard]", force=True)
    page.fill("#reason-comment", "시간이 없어요")
    page.click("#reason-send")
    expect(page.locator("#reason-panel")).to_have_count(0)
    page.reload()
    expect(page.locator("#thumb-down")).to_have_attribute("aria-pressed", "true")
    page.click("#thumb-up")
    expect(page.locator("#reason-panel legend")).to_have_text("어떤 점이 좋았나요?")
    page.keyboard.press("Escape")
    expect(page.locator("#reason-panel")).to_have_count(0)
    page.wait_for_timeout(600)  # else it would be a double click
    page.click("#thumb-up")
    expect(page.locator("#thumb-up")).to_have_attribute("aria-pressed", "false")


def test_a_double_tap_on_a_thumb_is_one(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.dblclick("#thumb-up", delay=150)
    expect(page.locator("#reason-panel")).to_be_visible()
    page.wait_for_timeout(500)
    expect(page.locator("#thumb-up")).to_have_attribute("aria-pressed", "true")


def test_an_answer_is_edited_in_place(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.click("#edit-open")
    page.fill("#edit-title-2", "나만의 <b>챌린지</b>")
    page.click("#edit-save")
    expect(page.locator("#edit-form")).to_have_count(0)
    expect(page.locator("#chat-transcript .eco-card-title").nth(1)).to_have_text(
        "나만의 <b>챌린지</b>"
    )
    expect(page.locator("#chat-transcript")).to_contain_text("내가 고친 답")
    page.reload()
    expect(page.locator("#chat-transcript .eco-card-title").nth(1)).to_have_text(
        "나만의 <b>챌린지</b>"
    )


def test_a_field_left_empty_keeps_the_form_and_what_was_typed(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.click("#edit-open")
    page.fill("#edit-title-1", "새 제목")
    page.fill("#edit-title-2", "   ")
    page.click("#edit-save")
    expect(page.locator("#edit-form [role=alert]")).to_contain_text("빈칸")
    expect(page.locator("#edit-title-1")).to_have_value("새 제목")


def test_trying_again_keeps_the_earlier_answer(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.click("#retry")
    expect(page.locator(".eco-earlier")).to_have_count(1)
    expect(page.locator(".eco-said")).to_have_count(1)
    expect(page.locator("#thumb-up")).to_be_visible()


def test_a_stopped_answer_keeps_what_came(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say(page, "천천히 알려 주세요")
    expect(page.locator("#chat-live .eco-recommend")).to_contain_text("사무실")
    page.keyboard.press("Escape")
    expect(page.locator("#chat-transcript .eco-notice")).to_contain_text("멈췄어요")
    expect(page.locator("#chat-announce")).to_have_text("답을 멈췄어요.")
    expect(page.locator("#chat-transcript .eco-recommend")).to_contain_text("사무실")
    expect(page.locator("#chat-send")).to_be_visible()


def test_a_new_chat_during_an_answer_stays_new_and_the_answer_is_written(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url)
    say(page, "천천히 알려 주세요")
    page.wait_for_selector("#chat-live .eco-recommend:not(:empty)")
    page.click("#chat-new")
    expect(page.locator(".eco-welcome")).to_be_visible()
    expect(page.locator(".eco-talk")).to_contain_text("답하는 중")
    expect(page.locator("#chat-send")).to_be_visible()
    say(page, "집에서 할 수 있는 걸 알려 주세요")
    expect(page.locator("#chat-transcript article")).to_have_count(1)
    expect(page.locator(".eco-said")).to_contain_text("집에서")
    expect(page.locator(".eco-talk")).to_have_count(2)
    first = page.locator(".eco-talk").filter(has_text="천천히")
    expect(first).to_contain_text("답하는 중")
    first.click()
    expect(page.locator("#chat-live article")).to_have_attribute("data-phase", "writing")
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3)
    expect(page.locator("#chat-transcript article")).to_have_attribute("data-status", "ok")
    expect(page.locator("#chat-announce")).to_have_text("답변이 완성됐어요.")


@pytest.fixture(scope="module")
def warm_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the strict server's model waits for."""
    return tmp_path_factory.mktemp("strict") / "warm"


@pytest.fixture(scope="module")
def strict_url(serve: Serve, warm_file: Path) -> str:
    """One answer at a time for each person, as for real."""
    return serve("--num-at-once", "1", "--warm-file", str(warm_file))


def test_a_message_sent_while_the_model_warms_up_is_answered_when_it_is_ready(
    strict_url: str, warm_file: Path, open_page: OpenPage
) -> None:
    warm_file.unlink(missing_ok=True)
    page = open_page(strict_url)
    expect(page.locator("#engine-status .eco-status")).to_have_attribute("data-state", "starting")
    say(page, "준비되기 전에 물어봐요")
    expect(page.locator("#chat-live")).to_contain_text("준비되는 대로")
    page.keyboard.press("Escape")  # stopped before it began: the question comes back
    expect(page.locator("#chat-input textarea")).to_have_value("준비되기 전에 물어봐요")
    expect(page.locator("#chat-unsaved")).to_contain_text("멈췄어요")
    expect(page.locator("#chat-announce")).to_have_text("답을 멈췄어요.")
    page.press("#chat-input textarea", "Enter")
    expect(page.locator("#chat-live")).to_contain_text("준비되는 대로")
    warm_file.touch()
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3, timeout=40_000)
    expect(page.locator("#engine-status .eco-status")).to_have_attribute("data-state", "ready")


def test_a_second_question_where_one_may_wait_for_one_only_stays_in_the_box(
    strict_url: str, warm_file: Path, open_page: OpenPage
) -> None:
    warm_file.touch()
    page = open_page(strict_url)
    say(page, "천천히 알려 주세요")
    page.wait_for_selector("#chat-live .eco-recommend:not(:empty)")
    page.click("#chat-new")
    expect(page.locator(".eco-welcome")).to_be_visible()
    say(page, "하나 더 물어볼게요")
    expect(page.locator(".toast-body")).to_contain_text("앞의 답")
    expect(page.locator("#chat-input textarea")).to_have_value("하나 더 물어볼게요")
    expect(page.locator(".eco-welcome")).to_be_visible()


def test_a_reload_in_the_middle_of_an_answer_goes_on_with_it(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say(page, "천천히 알려 주세요")
    page.wait_for_selector("#chat-live .eco-recommend:not(:empty)")
    page.reload()
    expect(page.locator("#chat-live article")).to_have_attribute("data-phase", "writing")
    expect(page.locator("#chat-transcript .eco-card")).to_have_count(3, timeout=40_000)
    expect(page.locator("#chat-transcript article")).to_have_attribute("data-status", "ok")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("중간에 끊어 주세요", "중간에 끊겼어요"), ("실패해 주세요", "답을 만들지 못했어요")],
)
def test_an_answer_that_did_not_end_well_says_so_and_can_be_tried_again(
    url: str, open_page: OpenPage, text: str, sentence: str
) -> None:
    page = open_page(url)
    say_and_wait(page, text)
    expect(page.locator("#chat-transcript .eco-notice")).to_contain_text(sentence)
    expect(page.locator("#chat-transcript .eco-recommend")).to_contain_text("사무실")
    expect(page.locator("#retry")).to_be_visible()
    expect(page.locator("#thumb-up")).to_have_count(0)


def test_earlier_conversations_are_listed_searched_and_opened(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url)
    say_and_wait(page, "플로깅을 하고 싶어요")
    page.click("#chat-new")
    expect(page.locator(".eco-welcome")).to_be_visible()
    say_and_wait(page, "고기를 줄이고 싶어요")
    expect(page.locator(".eco-talk")).to_have_count(2)
    page.fill("#chat-search input, #chat-search textarea", "플로깅")
    expect(page.locator(".eco-talk")).to_have_count(1)
    page.click(".eco-talk")
    expect(page.locator(".eco-said")).to_contain_text("플로깅을 하고 싶어요")


def test_nobody_sees_the_conversation_of_somebody_else(url: str, open_page: OpenPage) -> None:
    mine = open_page(url)
    say_and_wait(mine, "나만의 비밀 질문")
    conversation_id = mine.get_attribute("[data-conversation]", "data-conversation")
    theirs = open_page(url)
    theirs.evaluate("id => sessionStorage.setItem('eco-conversation', id)", conversation_id)
    theirs.reload()
    expect(theirs.locator(".eco-welcome")).to_be_visible()
    assert "비밀" not in theirs.inner_text("body")


def test_markup_in_a_message_stays_text(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "<img src=x onerror='window.hacked=1'> 쓰레기 ${1+1} {{value}}")
    assert page.evaluate("window.hacked") is None
    expect(page.locator(".eco-said")).to_contain_text("${1+1} {{value}}")


def test_the_last_message_comes_back_with_arrow_up(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.press("#chat-input textarea", "ArrowUp")
    expect(page.locator("#chat-input textarea")).to_have_value("쓰레기를 줄이고 싶어요")


def test_consent_is_off_until_it_is_given(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.click("#thumb-up")
    expect(page.locator("#consent-train")).not_to_be_checked()
    page.check("#consent-train")
    page.click("#reason-send")
    expect(page.locator("#reason-panel")).to_have_count(0)
    page.click("#thumb-down")
    expect(page.locator("#consent-train")).to_be_checked()


def test_own_data_can_be_taken_along_and_deleted(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    say_and_wait(page, "지워질 질문이에요")
    page.click(".eco-privacy summary")
    with page.expect_download() as download:
        page.click("#my-data-export")
    assert "지워질 질문이에요" in download.value.path().read_text(encoding="utf-8")
    page.check("#my-train")
    expect(page.locator(".toast-body").first).to_be_visible()
    expect(page.locator("#my-train")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#my-data-delete")
    expect(page.locator(".eco-welcome")).to_be_visible()
    expect(page.locator(".eco-talk")).to_have_count(0)
    expect(page.locator("#my-train")).not_to_be_checked()


def test_a_project_of_free_text_is_a_plain_chat(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve("--text"))
    expect(page.locator(".eco-welcome h2")).to_have_text("무엇을 도와드릴까요?")
    expect(page.locator(".eco-example")).to_have_count(0)
    expect(page.locator("#chat-chips, #chat-chips-panel")).to_have_count(0)
    say_and_wait(page, "오늘 뭐 할까요?")
    expect(page.locator(".eco-recommend")).to_contain_text("<b>산책</b>이 좋아요.")
    expect(page.locator(".eco-card, .eco-notice, #edit-open")).to_have_count(0)
    page.click("#thumb-down")
    expect(page.locator("#reason-panel .eco-chip")).to_have_count(3)
    assert not re.search("챌린지|추천|조건", page.inner_text("body"))


def test_on_a_phone_what_a_thumb_opens_is_not_behind_the_message_box(
    url: str, open_page: OpenPage
) -> None:
    page = open_page(url, viewport={"width": 390, "height": 844})
    say_and_wait(page, "쓰레기를 줄이고 싶어요")
    page.click("#thumb-up")
    expect(page.locator("#reason-send")).to_be_visible()
    page.wait_for_function(
        "document.querySelector('#reason-send').getBoundingClientRect().bottom"
        " <= document.querySelector('.eco-chat-input, #chat-input').getBoundingClientRect().top"
    )


def test_on_a_phone_nothing_is_wider_than_the_screen(url: str, open_page: OpenPage) -> None:
    page = open_page(url, viewport={"width": 360, "height": 740})
    shown = ".eco-header > :is(button, svg), .eco-status"
    boxes = [box for item in page.locator(shown).all() if (box := item.bounding_box())]
    assert len(boxes) == 5
    ends = [box["x"] + box["width"] for box in boxes]
    assert all(end <= box["x"] for end, box in zip(ends, boxes[1:], strict=False))
    assert boxes[1]["width"] == 30  # the logo
    for step in ("first", "answer"):
        if step == "answer":
            say_and_wait(page, "쓰레기를 줄이고 싶어요")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.click("[data-ui=side]")
    expect(page.locator("#chat-new")).to_be_visible()
