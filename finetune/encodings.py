"""Which encoding a file is in, and text that was decoded wrongly once."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final

_BLOCK: Final = 1 << 20
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HANGUL: Final = re.compile(r"[가-힣]")
_LATIN_GARBAGE: Final = re.compile("[\x80-\xff]")
_HANJA_GARBAGE: Final = re.compile("[\u3000-\u303f\u4e00-\u9fff\uf900-\uffdc]")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def detect_encoding(path: Path) -> str | None:
    """ "utf-8", "utf-8-sig", "utf-16" or "cp949"; None where lines differ."""
    with path.open("rb") as file:
        start = file.read(4)
    for bom, name in _BOMS:
        if start.startswith(bom):  # which may stand before anything
            return name if _decodes(path, name) else None
    return next((name for name in ("utf-8", "cp949") if _decodes(path, name)), None)


def decode_mixed(text: str) -> str:
    """A line read as UTF-8 with surrogateescape whose bytes are CP949; raises UnicodeDecodeError
    where they are neither.
    """
    return text.encode("utf-8", "surrogateescape").decode("cp949")


def _to_bytes(text: str) -> bytes | None:
    """The bytes behind text that was read as Windows Latin (or Latin-1 where that has no sign)."""
    found = bytearray()
    for char in text:
        if ord(char) < 256:
            found.append(ord(char))
        else:
            try:
                found += char.encode("cp1252")
            except UnicodeEncodeError:
                return None
    return bytes(found)


def _decode(data: bytes | None, encoding: str) -> str | None:
    try:
        return data.decode(encoding) if data is not None else None
    except UnicodeDecodeError:
        return None


def _undo_latin(text: str) -> str | None:
    data = _to_bytes(text)
    for encoding in ("utf-8", "cp949"):
        found = _decode(data, encoding)
        # One syllable may be chance; Latin letters that stay were never wrong.
        if found and len(_HANGUL.findall(found)) > 1 and not _LATIN_GARBAGE.search(found):
            return found
    return None


def _undo_cp949(text: str) -> str | None:
    """UTF-8 read as CP949: Korean that was never UTF-8 does not decode as such."""
    try:
        found = text.encode("cp949").decode("utf-8")
    except UnicodeError:
        return None
    return found if _HANGUL.search(found) else None


def undo_misdecoding(text: str) -> str:
    """The Korean behind text that was decoded in the wrong encoding once; else the text itself."""
    if text.isascii():
        return text
    if _LATIN_GARBAGE.search(text) and not _HANGUL.search(text):
        return _undo_latin(text) or text
    if _HANJA_GARBAGE.search(text):
        return _undo_cp949(text) or text
    return text
