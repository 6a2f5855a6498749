import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import gradio as gr
import pytest

from chatbot.recommendation import canonical
from chatbot.ui import import_panel
from chatbot.ui.import_panel import ImportPanel, render_import_result
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person
from feedback_store.store import Store
from finetune.checks import AnswerFormat, CheckSettings
from finetune.formats import ImportSettings, import_path
from tests.finetune.examples import numbered_answer

CURATOR = Person("p_kim", "curator", "ko")
HERE = ImportSettings(num_workers=0, check_set=False)


@pytest.fixture
def panel(store: Store) -> ImportPanel:
    nothing = cast("Any", None)
    return ImportPanel(Parts(nothing, store, nothing, nothing, identify=nothing))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [{"instruction": f"{n}층에서 뭘 할까요?", "output": canonical(numbered_answer(n))}
            for n in range(3)]  # fmt: skip
    path = tmp_path / "team.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


async def test_an_import_stands_in_the_log_also_when_the_page_is_left(
    panel: ImportPanel, file: Path
) -> None:
    steps = panel._import(file, HERE, CURATOR)
    reading = asyncio.ensure_future(anext(steps))
    await asyncio.sleep(0)
    reading.cancel()  # whoever dropped the file closes the page
    await asyncio.gather(reading, return_exceptions=True)
    for _ in range(200):
        await asyncio.sleep(0.02)
        if panel.parts.store.list_audit():
            break
    [entry] = panel.parts.store.list_audit()
    assert (entry.actor, entry.action, entry.target) == ("p_kim", "import", "team.jsonl")
    assert panel.parts.store.count_examples() == 3


async def test_an_import_that_breaks_says_so_and_stops_waiting(
    panel: ImportPanel, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def break_down(*_arguments: Any, **_settings: Any) -> None:
        raise OSError("/srv/data: Input/output error")

    monkeypatch.setattr(import_panel, "import_path", break_down)
    shown = [step async for step in panel._import(file, HERE, CURATOR)]
    assert shown[-1][1]
    assert "예상하지 못한 문제" in shown[-1][0]
    assert "/srv/data" not in shown[-1][0]
    assert "An import failed" in caplog.text
    assert panel.parts.store.list_audit() == []


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 99, bytes(range(256)) * 9, b"PK\3\4", b"[" * 9999]
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".xlsx", ".parquet", ".pdf", ""])
def test_whatever_a_file_holds_its_end_is_told_in_korean(
    panel: ImportPanel, tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(content)
    named, unnamed, told = import_panel._sort_files([str(path)], "ko")
    if named:
        told = panel.import_file(path, HERE, CURATOR, lambda _progress: None)
    assert unnamed or re.search("[가-힣]{2,}", told)
    assert not re.search("[a-z]{3,} [a-z]{2,} [a-z]{2,}", re.sub("<[^>]*>", "", told))


def test_the_lines_of_what_was_refused_are_told(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + '{"prompt": "a"\n' * 4)
    result = import_path(store, path, HERE)
    shown = render_import_result("a.jsonl", result, "ko")
    assert "읽을 수 없는 줄: 4" in shown
    assert "(줄 번호 2, 3, 4, …)" in shown
    broken = tmp_path / "b.json"
    broken.write_text('[{"prompt": "a", "completion": "b"}, {"prompt: 1}, {"prompt": 2}]')
    result = import_path(store, broken, HERE)
    assert result.reasons == {"unread_rest": 1}
    shown = render_import_result("b.json", result, "en")
    assert "import the file again: 1" in shown
    assert "(line 1)" in shown


@pytest.mark.parametrize("answer_format", ["recommendation", "text"])
async def test_a_text_project_is_not_offered_recommendations_to_begin_with(
    panel: ImportPanel, answer_format: AnswerFormat
) -> None:
    panel.parts = replace(panel.parts, checks=CheckSettings(answer_format))
    with gr.Blocks():
        panel.build()
    assert panel.starter.visible is (answer_format == "recommendation")
