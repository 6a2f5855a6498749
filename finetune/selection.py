"""Which accepted examples may be trained on, and why one may not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from chatbot.prompts import base_info_message, system_message
from chatbot.themes import CATEGORIES, LOCATIONS, WORK_TYPES, BaseInfo
from feedback_store.records import Conversation, Example, ExampleFilter
from feedback_store.store import Store
from finetune.checks import AnswerFormat


class DatasetError(ValueError):
    """The dataset cannot be made or read. `code` is stable, the message is a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class DatasetSettings:
    """What goes into a dataset."""

    validation_share: float = 0.10  # of the conversations
    max_rows_per_person: int = 5  # of one anonymous chatter; the studio and imports have no limit

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share <= 0.5:
            raise DatasetError(
                "bad_setting",
                f"validation_share is {self.validation_share}; it must lie between 0 and 0.5.",
            )
        if self.max_rows_per_person < 1:
            raise DatasetError(
                "bad_setting",
                f"max_rows_per_person is {self.max_rows_per_person}; it must be 1 or more.",
            )


def make_dataset_settings(answer_format: AnswerFormat) -> DatasetSettings:
    """What a project of this kind keeps from training. Of a text project the gate can ask nothing
    else than half of it, so it keeps more: the 24 that it compares come of about 200 examples.
    """
    return DatasetSettings(validation_share=0.25 if answer_format == "text" else 0.10)


def _prompt_key(messages: Sequence[Mapping[str, Any]]) -> bytes:
    text = json.dumps(messages, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16]


def _shared_prompts() -> Iterator[bytes]:
    """The bare base-info prompts: everybody sends these, so they name no case."""
    for place, work, theme in product(LOCATIONS, WORK_TYPES, CATEGORIES):
        info = BaseInfo(place.code, work.code, theme.code)
        for lang in ("ko", "en"):
            prompt = (system_message(lang), base_info_message(info, lang))
            yield _prompt_key(prompt)


class Selection:
    """Which accepted examples may be trained on; says why one may not."""

    def __init__(self, store: Store, settings: DatasetSettings) -> None:
        self._store = store
        self._settings = settings
        self._rows_of: Counter[str] = Counter()
        self._conversations: dict[str, Conversation | None] = {}
        self._turns: set[int] = set()
        self._prompts: set[bytes] = set()
        for case in store.iter_examples(ExampleFilter(purpose="regression")):
            if case.state != "excluded":
                self._prompts.add(_prompt_key(case.messages))
                self._turns |= {case.turn_id} if case.turn_id is not None else set()
        self._prompts -= set(_shared_prompts())

    def refuse(self, example: Example) -> str | None:
        """Why the example stays out, or None."""
        if example.turn_id in self._turns or (
            self._prompts and _prompt_key(example.messages) in self._prompts
        ):
            return "regression_case"
        if not example.decided_by:
            return "no_named_approval"
        return self._refuse_feedback(example) if example.source == "feedback" else None

    def _refuse_feedback(self, example: Example) -> str | None:
        """A conversation that is gone was removed by age; who withdraws consent or asks to be
        forgotten takes the examples along.
        """
        conversation = self._conversation(example.conversation_id)
        if conversation and not conversation.may_train:
            return "no_consent"
        if conversation is None or conversation.origin != "studio":
            if self._rows_of[example.person_id] >= self._settings.max_rows_per_person:
                return "too_many_of_one_person"
            self._rows_of[example.person_id] += 1
        return None

    def _conversation(self, conversation_id: str) -> Conversation | None:
        if conversation_id not in self._conversations:
            found = self._store.get_conversation(conversation_id)
            self._conversations[conversation_id] = found
        return self._conversations[conversation_id]
