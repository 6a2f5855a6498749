import logging

import pytest

from wiring.plain_log import PlainFormatter


def format_line(message: str, *args: object, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("chat", logging.WARNING, "f.py", 1, message, args, info)
    return PlainFormatter("%(levelname)s %(name)s: %(message)s").format(record)


@pytest.mark.parametrize(
    "said",
    [
        "x\nERROR root: admin logged in",
        "x\r\nERROR root: admin logged in",
        "x\u2028ERROR root: admin logged in",
        "\x1b[2J\x1b]0;owned\x07",
        "\x9b31m",
        "\u202e gnp.exe",
        "\x00",
    ],
)
def test_a_log_line_is_one_line_without_orders_to_the_terminal(said: str) -> None:
    line = format_line("Refused: %s", said)
    assert line.isprintable()
    assert line.startswith("WARNING chat: Refused: ")


def test_korean_stays_as_it_is() -> None:
    assert format_line("거절: %s", "텀블러 🌱") == "WARNING chat: 거절: 텀블러 🌱"


def test_a_trace_cannot_pass_for_a_line_of_its_own() -> None:
    try:
        raise ValueError("bad\nERROR root: admin logged in\x1b[31m")
    except ValueError as error:
        text = format_line("It broke", error=error)
    assert [line for line in text.split("\n")[1:] if not line.startswith("  ")] == []
    assert "\x1b" not in text
