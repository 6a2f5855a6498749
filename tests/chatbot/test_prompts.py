"""The messages that go to the model."""

import pytest

from chatbot.prompts import (
    base_info_message,
    free_text_message,
    prompt_hash,
    system_message,
)
from chatbot.themes import BaseInfo

INFO = BaseInfo("beach", "sales", "UPCYCLING")


def test_base_info_speaks_in_labels() -> None:
    assert base_info_message(INFO, "ko") == {
        "role": "user",
        "content": "위치: 바닷가\n직업: 영업직\n카테고리: 업사이클\n"
        "나에게 맞는 챌린지 3개를 추천해 주세요.",
    }
    assert (
        "Location: beach\nWork: sales\nCategory: Upcycling"
        in base_info_message(INFO, "en")["content"]
    )


@pytest.mark.parametrize("text", ["{location} {0} {text}", "100% {", "\0", "\\n"])
def test_free_text_keeps_the_persons_words_as_they_are(text: str) -> None:
    content = free_text_message(text, INFO, "ko")["content"]
    assert content == f"{text}\n\n위치: 바닷가\n직업: 영업직\n카테고리: 업사이클"


@pytest.mark.parametrize(("text", "lang"), [("주식 뭐 사?", "ko"), ("you idiot", "en")])
def test_an_aside_asks_the_model_to_lead_back_kindly(text: str, lang: str) -> None:
    content = free_text_message(text, INFO, lang)["content"]
    assert content.startswith(text)
    assert "다정하게" in content or "kindly" in content


def test_the_hash_tells_prompts_apart_and_survives_broken_text() -> None:
    first = [system_message("ko"), base_info_message(INFO, "ko")]
    other = [system_message("en"), base_info_message(INFO, "en")]
    assert prompt_hash(first) == prompt_hash(list(first)) != prompt_hash(other)
    assert len(prompt_hash([free_text_message("\ud800", INFO, "ko")])) == 16
