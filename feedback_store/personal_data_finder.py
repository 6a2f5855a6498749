"""Finds personal data with Presidio. A program of its own, run by personal_data.py.

Presidio imports spaCy, and with it torch and transformers where they are installed: seconds and
hundreds of megabytes that the application must not pay. Here they are left out, and nothing
ever asks the network. One JSON text per line comes in, one list of [start, end, kind] goes out.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

# Before Presidio: None makes an import fail at once, and Presidio does without them.
for _name in ("torch", "transformers", "stanza", "tensorflow", "cupy"):
    sys.modules[_name] = None  # type: ignore[assignment]

from presidio_analyzer import Pattern, PatternRecognizer  # noqa: E402
from presidio_analyzer.predefined_recognizers import (  # noqa: E402
    CreditCardRecognizer,
    IbanRecognizer,
    KrBrnRecognizer,
    KrDriverLicenseRecognizer,
    KrPassportRecognizer,
    KrRrnRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

# Presidio's own patterns know "-" only; people write dots, dashes of all kinds, and spaces.
_SEPARATORS: Final = " \t.,-_/·~‐‑‒–—―−ㆍ"
_GAP: Final = rf"[{_SEPARATORS}]{{0,3}}"
_NO_GAP: Final = [(sign, "") for sign in _SEPARATORS]

_SIGN: Final = rf"[{_SEPARATORS}]?"
_BIRTH_DATE: Final = rf"\d{{2}}{_SIGN}(?:0[1-9]|1[0-2]){_SIGN}(?:0[1-9]|[12]\d|3[01])"

# What follows a number that is no house number: "자전거로 10분", "강남구로 3km".
_UNITS: Final = (
    r"(?!\d|[,.]\d|\s*(?:분|시간|초|일|주|달|개|년|월|회|번(?!길|지)|명|원|%|퍼센트|도\b|도씨|"
    r"km|m\b|kg|g\b|킬로|미터|그램|리터|걸음|보\b|점|배|가지|단계|세트|장))"
)
_AREA: Final = r"(?:[가-힣]{1,8}(?:특별시|광역시|자치시|자치도|도|시|군|구|읍|면)\s+){1,4}"
_HOUSE: Final = r"\d+(?:-\d+)?"
_ROOM: Final = r"(?:\s*,?\s*[가-힣A-Za-z\d]{1,8}동)?(?:\s*\d{1,3}층)?(?:\s*\d{1,4}호)?"

_ADDRESSES: Final = {
    "road": rf"{_AREA}[가-힣\d]{{1,12}}(?:로|길)\s*\d+(?:번길\s*\d+)?(?:-\d+)?{_UNITS}{_ROOM}",
    "branch road": rf"[가-힣\d]{{1,12}}로\s*\d+번길\s*{_HOUSE}{_UNITS}{_ROOM}",
    "lot": rf"{_AREA}[가-힣\d]{{1,8}}(?:동|리|가)\s+(?:산\s*)?{_HOUSE}(?:번지)?{_UNITS}{_ROOM}",
    "lot number": rf"[가-힣\d]{{1,8}}(?:동|리|가)\s+{_HOUSE}번지{_ROOM}",
    "flat": r"\d{1,4}동\s*\d{1,4}호",
    "street": r"\b\d{1,5}\s+(?:[A-Z][A-Za-z]+\s+){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|"
    r"Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl)\b\.?(?:,?\s*(?:Apt|Suite|Unit|#)\.?\s*\w+)?",
}
_EMAIL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+\s?@\s?(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}"
_CARD: Final = rf"(?<!\d)(?:\d{{4}}{_GAP}){{3}}\d{{4}}(?!\d)"
_AMEX: Final = rf"(?<!\d)3[47]\d\d{_GAP}\d{{6}}{_GAP}\d{{5}}(?!\d)"
_OLD_PASSPORT: Final = r"(?<![A-Za-z\d])[MSROD]\d{8}(?!\d)"
_MIN_SCORE: Final = 0.1  # Presidio's weakest patterns, such as any ten digits, stay below


def _patterns(**regexes: str) -> list[Pattern]:
    return [Pattern(name, regex, 0.5) for name, regex in regexes.items()]


def build_recognizers() -> list[Any]:
    """Presidio's recognisers, widened for what people in Korea write."""
    resident = rf"(?<!\d){_BIRTH_DATE}{_GAP}[1-8]{_SIGN}\d{{6}}(?!\d)"
    business = rf"(?<!\d)\d{{3}}{_GAP}\d{{2}}{_GAP}\d{{5}}(?!\d)"
    driver = rf"(?<!\d)\d{{2}}{_GAP}\d{{2}}{_GAP}\d{{6}}{_GAP}\d{{2}}(?!\d)"
    return [
        KrRrnRecognizer(patterns=_patterns(resident=resident), replacement_pairs=_NO_GAP),
        KrBrnRecognizer(patterns=_patterns(business=business), replacement_pairs=_NO_GAP),
        KrDriverLicenseRecognizer(patterns=_patterns(driver=driver), replacement_pairs=_NO_GAP),
        KrPassportRecognizer(),
        PatternRecognizer("KR_PASSPORT", patterns=_patterns(until_2021=_OLD_PASSPORT)),
        CreditCardRecognizer(patterns=_patterns(card=_CARD, amex=_AMEX), replacement_pairs=_NO_GAP),
        # A number with "+" is found in every region; without it, as people in these write it.
        PhoneRecognizer(supported_regions=("KR", "US")),
        PatternRecognizer("EMAIL_ADDRESS", patterns=_patterns(email=_EMAIL)),
        PatternRecognizer(
            "ADDRESS", patterns=[Pattern(name, regex, 0.5) for name, regex in _ADDRESSES.items()]
        ),
        IbanRecognizer(),
        UsSsnRecognizer(),
    ]


def find(recognizers: list[Any], text: str) -> list[tuple[int, int, str]]:
    """Where personal data stands, by start; what overlaps is one, of the surer kind."""
    hits = [
        (hit.start, hit.end, hit.score, hit.entity_type)
        for recognizer in recognizers
        for hit in recognizer.analyze(text, recognizer.supported_entities)
        if hit.score >= _MIN_SCORE
    ]
    merged: list[tuple[int, int, float, str]] = []
    for start, end, score, kind in sorted(hits):
        if merged and start < merged[-1][1]:
            first, last, best_score, best_kind = merged.pop()
            if score > best_score:
                best_score, best_kind = score, kind
            merged.append((first, max(last, end), best_score, best_kind))
        else:
            merged.append((start, end, score, kind))
    return [(start, end, kind) for start, end, _, kind in merged]


def main() -> None:
    """Answer until the other side closes."""
    recognizers = build_recognizers()
    for line in sys.stdin.buffer:
        answer = find(recognizers, json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
