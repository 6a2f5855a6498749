from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.encodings import detect_encoding, undo_misdecoding

KOREAN = "안녕하세요. 텀블러를 써 봐요!"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_the_encoding_of_a_file_is_detected(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(KOREAN.encode(encoding))
    found = detect_encoding(path)
    assert found == encoding
    assert path.read_text(found) == KOREAN


def test_a_file_of_several_encodings_has_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(KOREAN.encode("utf-8") + b"\n" + b"\xff\xfe\xff")
    assert detect_encoding(path) is None


@pytest.mark.parametrize("start", ["\ufeff".encode(), b"\xff\xfe", b"\xfe\xff"])
def test_a_mark_at_the_beginning_proves_nothing(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(start + b"a,b\n1,\xbf\x00\xd8\n\xff")
    assert detect_encoding(path) is None


@pytest.mark.parametrize(("right", "wrong"), [("utf-8", "latin-1"), ("cp949", "latin-1")])
@pytest.mark.parametrize("text", ["텀블러를 써요", "안녕하세요. ABC 123!", "산책하며 줍깅"])
def test_text_decoded_wrongly_once_is_undone(text: str, right: str, wrong: str) -> None:
    assert undo_misdecoding(text.encode(right).decode(wrong)) == text


def test_windows_latin_is_undone() -> None:
    assert undo_misdecoding("ì•ˆë…•í•˜ì„¸ìš”") == "안녕하세요"


@pytest.mark.parametrize("text", ["기후", "채식 1", "바다, 걷기"])
def test_utf8_read_as_cp949_is_undone(text: str) -> None:
    assert undo_misdecoding(text.encode().decode("cp949")) == text


@pytest.mark.parametrize(
    "text",
    [
        "café déjà été",
        "naïve über",
        "中文 漢字",
        "한글 漢字 섞기",
        "“따옴표” … — Ünder",
        "50°C ±1 µm",
    ],
)
def test_text_that_is_right_stays(text: str) -> None:
    assert undo_misdecoding(text) == text


@given(st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1))
def test_korean_is_never_changed(text: str) -> None:
    assert undo_misdecoding(text) == text
