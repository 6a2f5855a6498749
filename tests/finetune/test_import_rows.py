import json
import pickle

from chatbot.recommendation import canonical
from finetune.checks import CheckSettings
from finetune.import_rows import MadeExample, Reject, RowSettings, make_rows
from finetune.source_row import SourceRow
from tests.finetune.examples import ANSWER, BETTER

SETTINGS = RowSettings()


def make_one(value: object, settings: RowSettings = SETTINGS) -> MadeExample:
    [made] = make_rows([SourceRow(7, value)], "team.jsonl", settings)
    assert isinstance(made, MadeExample)
    return made


def test_rows_with_the_same_question_share_their_split_key() -> None:
    one = make_one({"prompt": "뭐 하지?", "completion": canonical(ANSWER)})
    two = make_one({"prompt": " 뭐  하지?", "completion": canonical(BETTER)})
    other = make_one({"prompt": "뭐 먹지?", "completion": canonical(ANSWER)})
    assert one.example.conversation_id == two.example.conversation_id
    assert one.example.conversation_id != other.example.conversation_id


def test_the_worse_answer_of_a_pair_is_repaired_too() -> None:
    row = {
        "prompt": "뭐 하지?",
        "chosen": json.dumps(canonical(BETTER)),
        "rejected": json.dumps({"text": canonical(ANSWER)}),
    }
    example = make_one(row).example
    assert (example.completion, example.rejected) == (canonical(BETTER), canonical(ANSWER))


def test_personal_data_in_a_prompt_is_masked() -> None:
    row = {"prompt": "제 번호는 010-1234-5678이에요", "completion": canonical(ANSWER)}
    example = make_one(row).example
    assert example.messages[-1]["content"] == "제 번호는 ○○○-○○○○-○○○○이에요"
    assert (example.repairs, example.flags) == (("masked_prompt",), ())


def test_a_system_message_of_its_own_is_kept() -> None:
    row = {"instruction": "뭐 하지?", "system": "짧게", "output": canonical(ANSWER)}
    assert [m["content"] for m in make_one(row).example.messages] == ["짧게", "뭐 하지?"]


def test_a_text_task_gets_no_system_message() -> None:
    settings = RowSettings(checks=CheckSettings(answer_format="text"))
    example = make_one({"prompt": "뭐 하지?", "completion": "걷자."}, settings).example
    assert [message["role"] for message in example.messages] == ["user"]


def test_a_rejected_row_keeps_its_line_and_an_excerpt() -> None:
    rows = [SourceRow(7, {"a": "x" * 9_999}), SourceRow(8, reason="The line is no JSON.")]
    first, second = make_rows(rows, "team.jsonl", SETTINGS)
    assert isinstance(first, Reject)
    assert (first.line, first.code, len(first.excerpt)) == (7, "unknown_columns", 500)
    assert second == Reject(8, "unreadable", "The line is no JSON.", "")


def test_what_a_worker_returns_can_travel() -> None:
    made = make_rows([SourceRow(1, {"a": 1})], "team.jsonl", SETTINGS)
    assert pickle.loads(pickle.dumps(made)) == made
