"""What a person can be told about their turn: a stable `code`, and an English sentence that says
what was received and what to do. The screen and the API translate by code.
"""

from __future__ import annotations


class ChatError(Exception):
    """The turn was not begun, and nothing of it was stored.

    Codes: empty_message, too_long, unknown_option, not_found, not_yours, engine_not_ready,
    one_at_a_time, too_fast, busy, invalid_correction, not_correctable, shutting_down, forgotten,
    too_long_for_model, and those of StoreError.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field  # which part of the request is wrong
        self.retry_after_s = retry_after_s  # when trying again makes sense


class TooLongForModel(ChatError):
    """The message alone is more than the model can read."""

    def __init__(self) -> None:
        super().__init__(
            "too_long_for_model",
            "The message is longer than this model can read. Shorten it and send it again.",
            field="text",
        )


class NotYours(ChatError):
    """A conversation or turn of somebody else."""

    def __init__(self, what: str) -> None:
        super().__init__("not_yours", f"This {what} belongs to somebody else.")
