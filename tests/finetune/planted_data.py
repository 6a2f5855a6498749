"""Fifty pieces of personal data as people write them, hidden in what they say and correct, and how
many of them reach an exported dataset.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from dataclasses import replace
from pathlib import Path

from chatbot.recommendation import Challenge, canonical, to_dict
from feedback_store.records import ExampleFilter, NewFeedback
from feedback_store.store import Store
from finetune.curate import accept_examples, collect_feedback
from finetune.dataset import DatasetSettings, freeze_dataset
from finetune.export import export_dataset
from tests.finetune.examples import add_conversation, add_turn, make_messages, numbered_answer

PLANTED = (
    # resident numbers
    "900101-1234567", "９００１０１－１２３４５６７", "900101 1\u200b234567", "0503154123456",
    "85.12.31-2345678", "010203–3456789", "770707 1·234567", "920229-5123456",
    # phones
    "010-1234-5678", "01098765432", "010 2345 6789", "010.3456.7890", "０１０－４５６７－８９０１",
    "+82 10 5678 9012", "02-345-6789", "031)234-5678", "070-8765-4321", "010\u200b-6789-\u200b0123",
    "+1 415 555 2671", "+44 20 7946 0958",
    # e-mails
    "hana.kim@example.com", "HANA+eco@mail.example.co.kr", "ｈａｎａ＠example.org",
    "hana_kim-1@sub.example.net", "ha\u200bna@example.com", "hana@회사.example.com",
    # cards
    "4111 1111 1111 1111", "5500-0000-0000-0004", "4012888888881881", "３７８２ 822463 10005",
    "6011.1111.1111.1117", "4111\u00ad1111\u00ad1111\u00ad1111",
    # addresses
    "서울특별시 강남구 테헤란로 152 12층",
    "경기도 수원시 영통구 영통로 12번길 7",
    "부산광역시 해운대구 우동 1408번지",
    "강남구 역삼동 123-45", "101동 1203호", "대전 유성구 대학로 99",
    "1600 Amphitheatre Parkway Road",
    "221 Baker Street",
    # passports, licences, businesses, accounts, other countries
    "M12345678", "S98765432", "11-22-333444-55", "26 05 123456 78", "220-81-62517", "1208147521",
    "DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "449-53-4568", "536-90-4399",
)  # fmt: skip
_SEPARATORS = re.compile(r"[\s\u00ad\u200b-\u200f.,()·–—‑/~-]")


def bare(text: str) -> str:
    """Text without anything that only separates, so that no spelling hides what is in it."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).lower()


def plant(store: Store, number: int, secret: str) -> None:
    """One person says it, and writes it into a correction."""
    person_id = f"p_{number}"
    add_conversation(store, f"c-{number}", person_id=person_id)
    said = f"제 정보는 {secret} 이에요. 오늘 할 일을 알려 주세요."
    messages = (*make_messages()[:1], {"role": "user", "content": said})
    turn = add_turn(
        store,
        f"c-{number}",
        user_text=said,
        messages=messages,
        raw_text=canonical(numbered_answer(number)),
    )
    answer = numbered_answer(number)
    changed = Challenge("연락하기", f"{secret} 으로 연락해요.")
    better = replace(answer, challenges=(changed, *answer.challenges[1:]))
    store.set_feedback(
        NewFeedback(
            turn_id=turn.turn_id,
            person_id=person_id,
            rating="dislike",
            comment=f"{secret} 로 알려 주세요",
            correction=to_dict(better),
        )
    )


def export_planted() -> tuple[int, list[str]]:
    """(exported rows, the planted data that can be read in the exported files)."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        with Store.open(folder / "data") as store:
            for number, secret in enumerate(PLANTED):
                plant(store, number, secret)
            collect_feedback(store)
            rows = store.find_examples(ExampleFilter(), limit=500).items
            accept_examples(store, [row.example_id for row in rows], curator="p_curator")
            frozen = freeze_dataset(store, folder / "data", DatasetSettings(validation_share=0.0))
            source = folder / "data" / "datasets" / frozen.dataset_id
            export_dataset(source, folder / "out")
        files = [path for path in (folder / "out").rglob("*") if path.is_file()]
        files += [path for path in source.rglob("*") if path.is_file()]
        text = bare("\n".join(path.read_text(encoding="utf-8") for path in files))
        return frozen.num_train, [secret for secret in PLANTED if bare(secret) in text]
