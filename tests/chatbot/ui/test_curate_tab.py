import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chatbot.ui.conftest import OpenPage, Serve
from tests.chatbot.ui.records import ANSWER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    return serve("--num-rated", "40")


@pytest.fixture
def page(url: str, open_page: OpenPage) -> Page:
    opened = open_page(f"{url}/studio/")
    opened.click("#tab-curate-button")
    opened.wait_for_selector("#curate-row, #curate-empty")
    return opened


def count(page: Page, state: str) -> int:
    return int(page.inner_text(f"#curate-counts [data-count={state}] b"))


def row(page: Page) -> str:
    return page.get_attribute("#curate-row", "data-example") or ""


def choose(page: Page, name: str, value: str) -> None:
    """Pick one value of a filter, and wait until the queue has followed."""
    page.select_option(f"#curate-filter-{name}", value)
    page.wait_for_timeout(800)


def test_rated_turns_arrive_and_are_decided_on_by_keys(page: Page) -> None:
    accepted, excluded, first = count(page, "accepted"), count(page, "excluded"), row(page)
    page.keyboard.press("a")
    expect(page.locator("[data-count=accepted] b")).to_have_text(str(accepted + 1))
    expect(page.locator("#curate-row")).not_to_have_attribute("data-example", first)
    page.keyboard.press("x")
    expect(page.locator("[data-count=excluded] b")).to_have_text(str(excluded + 1))
    page.keyboard.press("u")
    expect(page.locator("[data-count=excluded] b")).to_have_text(str(excluded))
    page.keyboard.press("u")
    expect(page.locator("[data-count=accepted] b")).to_have_text(str(accepted))
    expect(page.locator("#curate-row")).to_have_attribute("data-example", first)


def test_next_leaves_the_row_undecided(page: Page) -> None:
    pending, first = count(page, "pending"), row(page)
    page.keyboard.press("n")
    expect(page.locator("#curate-row")).not_to_have_attribute("data-example", first)
    assert count(page, "pending") == pending


def test_a_malformed_answer_shows_its_repair_with_the_differences_marked(page: Page) -> None:
    page.select_option("#curate-filter-flag", "leading_number")
    expect(page.locator("#curate-original del").first).to_contain_text("1.")
    expect(page.locator(".eco-flags")).to_contain_text("앞에 번호")


def test_an_answer_is_fixed_in_its_fields(page: Page) -> None:
    accepted = count(page, "accepted")
    page.keyboard.press("f")
    page.fill("#edit-title-1", "퇴근 전 멀티탭 끄기")
    page.click("#curate-save")
    expect(page.locator("[data-count=accepted] b")).to_have_text(str(accepted + 1))
    page.click("#curate-undo")
    expect(page.locator("[data-count=accepted] b")).to_have_text(str(accepted))


def test_keys_typed_into_a_field_decide_nothing(page: Page) -> None:
    accepted = count(page, "accepted")
    page.keyboard.press("f")
    expect(page.locator("#edit-recommend")).to_be_focused()
    page.fill("#edit-title-1", "")
    page.type("#edit-title-1", "axnu")
    page.keyboard.press("Escape")
    expect(page.locator("#curate-accept")).to_be_visible()
    assert count(page, "accepted") == accepted


def test_two_curators_do_not_get_the_same_row(url: str, page: Page, open_page: OpenPage) -> None:
    other = open_page(f"{url}/studio/")
    other.click("#tab-curate-button")
    other.wait_for_selector("#curate-row")
    assert row(other) != row(page)


def test_deciding_on_all_that_match_shows_them_first_and_can_be_undone(page: Page) -> None:
    excluded = count(page, "excluded")
    choose(page, "flag", "leading_number")
    page.keyboard.press("b")
    page.click("#curate-bulk-exclude")
    expect(page.locator("#curate-plan .eco-samples li").first).to_contain_text("#")
    page.keyboard.press("Escape")
    expect(page.locator("#curate-plan")).to_have_count(0)
    page.click("#curate-bulk-exclude")
    expect(page.locator("#curate-plan")).to_be_visible()
    page.keyboard.press("y")
    expect(page.locator("#curate-empty")).to_be_visible()  # what others have open is theirs
    assert count(page, "excluded") > excluded
    page.keyboard.press("u")
    expect(page.locator("[data-count=excluded] b")).to_have_text(str(excluded))


def test_the_bulk_part_is_used_with_the_keyboard_alone(page: Page) -> None:
    excluded = count(page, "excluded")
    choose(page, "flag", "leading_number")
    page.keyboard.press("b")
    expect(page.locator("#curate-bulk-accept")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#bulk-fold")).to_be_focused()
    expect(page.locator("#curate-bulk-accept")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("#curate-bulk-accept")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#curate-plan")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#curate-bulk-exclude")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#curate-plan")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#curate-plan-go")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#bulk-fold")).to_be_focused()
    assert count(page, "excluded") > excluded
    page.keyboard.press("u")
    expect(page.locator("[data-count=excluded] b")).to_have_text(str(excluded))


def test_a_doubt_of_the_plan_leads_to_its_rows_and_back(page: Page) -> None:
    page.keyboard.press("b")
    page.click("#curate-bulk-accept")
    page.click("[data-action=bulk-doubt] >> nth=0")
    only = page.locator("#curate-only-doubt")
    expect(only).to_be_focused()
    expect(only).to_be_in_viewport()
    expect(page.locator("#curate-plan")).to_have_count(0)
    expect(page.locator("#curate-row")).to_be_visible()
    page.keyboard.press("Enter")
    expect(only).to_have_count(0)
    expect(page.locator("#curate-filter [data-focus-home]")).to_be_focused()


def test_a_file_of_another_kind_is_told_by_name_and_the_others_are_imported(
    page: Page, tmp_path: Path
) -> None:
    photo, table = tmp_path / "photo.png", tmp_path / "good.jsonl"
    photo.write_bytes(b"\x89PNG")
    table.write_text(json.dumps({"instruction": "물음", "output": "답이에요."}), encoding="utf-8")
    files = page.locator("#curate-import input[type=file]")
    expect(files).to_have_attribute("accept", ".json,.jsonl,.ndjson,.csv,.tsv,.xlsx,.parquet")
    files.set_input_files([photo, table])
    told = page.locator("#curate-import-result")
    expect(told.locator("[data-import=new] b")).to_have_text("1")
    expect(told).to_contain_text("photo.png: 읽을 수 없는 종류의 파일이에요")
    expect(page.locator(".toast-body")).to_have_count(0)


def test_a_flag_leads_to_its_twin_and_the_tokens_are_shown(page: Page) -> None:
    choose(page, "flag", "near_duplicate")
    page.click("[data-flag=near_duplicate] [data-action=compare]")
    expect(page.locator("#curate-twin")).to_contain_text("비교: #")
    page.keyboard.press("t")
    expect(page.locator("#token-strip .eco-token-loss").first).to_be_visible()
    page.wait_for_timeout(800)  # the part is drawn anew
    page.keyboard.press("t")
    expect(page.locator("#token-strip")).to_have_count(0)


def test_a_dropped_file_is_imported_and_every_row_accounted_for(page: Page, tmp_path: Path) -> None:
    output = {"recommend": ANSWER.recommend, "challenges": []}
    output["challenges"] = [vars(challenge) for challenge in ANSWER.challenges]
    good = {"instruction": "비건을 시작하고 싶어요", "input": "", "output": json.dumps(output)}
    file = tmp_path / "examples.jsonl"
    file.write_text(json.dumps(good) + "\nbroken\n", encoding="utf-8")
    pending = count(page, "pending")
    page.set_input_files("#curate-import input[type=file]", file)
    expect(page.locator("[data-import=new] b")).to_have_text("1")
    expect(page.locator("[data-import=rejected] b")).to_have_text("1")
    expect(page.locator("[data-count=pending] b")).to_have_text(str(pending + 1))


def test_the_columns_of_a_table_are_named_on_the_screen(page: Page, tmp_path: Path) -> None:
    lines = [f"{n}번째로 뭘 할까요?,{n}번 답이에요. 이 답은 질문보다 길어요." for n in range(3)]
    file = tmp_path / "team.csv"
    file.write_text("\n".join(["물음,모범 답", *lines]), encoding="utf-8")
    page.set_input_files("#curate-import input[type=file]", file)
    expect(page.locator("#mapping-completion")).to_have_value("모범 답")
    page.click("#mapping-go")
    expect(page.locator("[data-import=new] b")).to_have_text("3")
    expect(page.locator("#curate-mapping")).to_have_count(0)


def test_the_set_is_checked_and_versions_are_frozen_and_compared(page: Page) -> None:
    page.click("#set-fold")
    expect(page.locator("#set [data-flag=too_few_examples]")).to_be_visible()
    page.wait_for_timeout(800)  # its flags come to the queue
    accepted = count(page, "accepted")
    page.click("#datasets-fold")
    expect(page.locator("#dataset-freeze")).to_contain_text(f"{accepted}개")
    for number in range(1, 4):  # one alone might be of a conversation that is kept for validation
        page.keyboard.press("a")
        expect(page.locator("[data-count=accepted] b")).to_have_text(str(accepted + number))
    expect(page.locator("#dataset-freeze")).to_contain_text(f"{accepted + 3}개")  # and it follows
    page.click("#dataset-freeze")
    # The row and its papers; the first freeze starts the search for personal data.
    expect(page.locator("#datasets-table tbody tr")).to_have_count(2, timeout=30_000)
    page.keyboard.press("a")
    expect(page.locator("[data-count=accepted] b")).to_have_text(str(accepted + 4))
    page.click("#dataset-freeze")
    expect(page.locator("#dataset-diff [data-diff=added] b")).to_have_text("1", timeout=20_000)
    with page.expect_download() as download:
        page.click("#datasets-table a >> nth=1")
    assert download.value.suggested_filename.endswith("-parquet.zip")
