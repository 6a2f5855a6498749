"""What a person sends, checked at the boundary: text cleaned, options known, limits kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chatbot.errors import ChatError
from chatbot.themes import BaseInfo, UnknownOption, find_option
from chatbot.turn_events import TurnRequest
from feedback_store.text import MAX_MESSAGE, clean_text

DEFAULT_INFO: Final = BaseInfo("city", "office", "ZERO_WASTE")  # until the talk says otherwise


def check_request(request: TurnRequest) -> TurnRequest:
    """The request with clean text and canonical codes; raises ChatError naming the field."""
    if request.lang not in ("ko", "en"):
        raise ChatError("unknown_option", "lang must be ko or en.", field="lang")
    text = check_text(request.text)
    if request.retry_of is None:
        if request.mode == "free_text" and not text:
            raise ChatError("empty_message", "The message is empty. Write something.", field="text")
        if request.mode == "base_info" and request.base_info is None:
            raise ChatError(
                "unknown_option", "Choose location, work type and category.", field="base_info"
            )
    return replace(
        request,
        text=text,
        base_info=check_base_info(request.base_info) if request.base_info else None,
        may_train=request.may_train or request.origin == "studio",
    )


def check_text(text: str) -> str:
    """Clean text without blank ends; raises ChatError when it is too long."""
    if len(text) <= 2 * MAX_MESSAGE:  # beyond that, cleaning is not worth its time
        text = clean_text(text).strip()
    if len(text) > MAX_MESSAGE:
        raise ChatError(
            "too_long",
            f"The message has {len(text):,} characters; at most {MAX_MESSAGE:,} fit. Shorten it.",
            field="text",
        )
    return text


def check_base_info(info: BaseInfo) -> BaseInfo:
    """The codes of labels, codes or aliases; raises ChatError naming the field."""
    try:
        return BaseInfo(
            find_option("location", info.location).code,
            find_option("work_type", info.work_type).code,
            find_option("category", info.category).code,
        )
    except UnknownOption as error:
        raise ChatError("unknown_option", str(error), field=error.field) from error
