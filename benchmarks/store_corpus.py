"""Made-up chats for benchmarks/store.py: as many words, rare and common, as real ones have."""

from __future__ import annotations

import json
import random
from itertools import accumulate
from typing import Any, Final

from feedback_store.records import Conversation, NewExample, NewTurn

CATEGORIES: Final = (
    "ZERO_WASTE",
    "PLOGGING",
    "CARBON_FOOTPRINT",
    "ENERGY_SAVING",
    "UPCYCLING",
    "MEDIA",
    "DIGITAL_CARBON",
    "VEGAN",
)
LOCATIONS: Final = ("city", "beach", "mountain", "rural")
WORK_TYPES: Final = ("office", "field", "sales", "remote")
REASONS: Final = ("wrong", "boring", "too_hard", "language")
FLAGS: Final = ("long", "repeated", "near_duplicate", "mixed_language", "rare_phrase")

_KOREAN = """
쓰레기 텀블러 재활용 에너지 전기 난방 비건 채식 두부 플로깅 바다 해변 산책 이메일 클라우드 영화 책
자전거 대중교통 리필 업사이클 사무실 재택 도시 농촌 챌린지 추천 오늘 함께 작은 실천 환경
"""
_ENGLISH = """
waste plastic recycle energy bottle beach mountain vegan email cloud film book bicycle today
together small walk tumbler refill office
"""
KOREAN: Final = tuple(_KOREAN.split())
ENGLISH: Final = tuple(_ENGLISH.split())
_ENDINGS: Final = ("", "을", "를", "이", "가", "은", "는", "에서", "으로", "하기", "해요", "합니다")


def person_of(conversation_id: str) -> str:
    """Whose conversation it is: people come back."""
    return f"p{int(conversation_id[1:]) % 50_000}"


class Corpus:
    """Turns and examples drawn with a fixed seed; word counts fall off as in real text."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        syllables = [chr(code) for code in range(0xAC00, 0xD7A4, 19)]
        self._rng.shuffle(syllables)
        common = [1 / (rank + 3) for rank in range(len(syllables))]
        self.korean = [
            "".join(self._rng.choices(syllables, common, k=self._rng.choice((2, 2, 3, 3, 4, 5))))
            for _ in range(20_000)
        ]
        letters = "abcdefghiklmnoprstuvwy"
        self.english = [
            "".join(self._rng.choices(letters, k=self._rng.randint(3, 9))) for _ in range(8_000)
        ]
        self._weights = list(accumulate(1 / (rank + 8) ** 0.9 for rank in range(20_000)))

    def sentence(self, lang: str, num_words: int) -> str:
        """So many words, a fifth of them about the environment."""
        rng = self._rng
        if lang == "en":
            words = rng.choices(self.english, cum_weights=self._weights[:8_000], k=num_words)
            words[::5] = rng.choices(ENGLISH, k=len(words[::5]))
            return " ".join(words)
        words = rng.choices(self.korean, cum_weights=self._weights, k=num_words)
        words[::5] = rng.choices(KOREAN, k=len(words[::5]))
        return " ".join(word + rng.choice(_ENDINGS) for word in words)

    def conversation(self, number: int) -> Conversation:
        """A conversation of one of as many people."""
        return Conversation(
            conversation_id=f"c{number}",
            person_id=person_of(f"c{number}"),
            origin="public",
            lang="ko" if self._rng.random() < 0.8 else "en",
            location=self._rng.choice(LOCATIONS),
            work_type=self._rng.choice(WORK_TYPES),
            category="VEGAN",
            first_category="VEGAN",
        )

    def recommendation(self, lang: str) -> dict[str, Any]:
        """An answer of the usual length."""
        return {
            "recommend": self.sentence(lang, 10),
            "challenges": [
                {"title": self.sentence(lang, 3), "description": self.sentence(lang, 8)}
                for _ in range(3)
            ],
        }

    def turn(self, conversation_id: str, adapter: str) -> NewTurn:
        """A turn with its prompt and answer."""
        rng = self._rng
        lang = "ko" if rng.random() < 0.8 else "en"
        text, answer = self.sentence(lang, 8), self.recommendation(lang)
        return NewTurn(
            conversation_id=conversation_id,
            mode="free_text",
            user_text=text,
            location=rng.choice(LOCATIONS),
            work_type=rng.choice(WORK_TYPES),
            category=rng.choice(CATEGORIES),
            messages=(
                {"role": "system", "content": "당신은 친환경 챌린지를 추천하는 도우미입니다. " * 4},
                {"role": "user", "content": text},
            ),
            raw_text=json.dumps(answer, ensure_ascii=False, separators=(",", ":")),
            recommendation=answer,
            status="ok" if rng.random() < 0.96 else "truncated",
            adapter=adapter,
            base_model="starter",
            prompt_hash="0123456789abcdef",
            sampling={"temperature": 0.7, "top_p": 0.9},
            finish_reason="stop",
            duration_ms=812.5,
        )

    def example(self, number: int, turn_id: int | None) -> NewExample:
        """An example with up to three flags."""
        rng = self._rng
        lang = "ko" if rng.random() < 0.8 else "en"
        answer = self.recommendation(lang)
        flags = rng.sample(FLAGS, rng.choice((0, 0, 0, 1, 1, 2, 3)))
        return NewExample(
            source="feedback" if turn_id else "import",
            messages=({"role": "user", "content": self.sentence(lang, 8)},),
            completion=json.dumps(answer, ensure_ascii=False, separators=(",", ":")),
            original_text="",
            turn_id=turn_id,
            conversation_id=f"c{number}",
            person_id=f"p{number % 5000}",
            lang="ko" if lang == "ko" else "en",
            location=rng.choice(LOCATIONS),
            work_type=rng.choice(WORK_TYPES),
            category=rng.choice(CATEGORIES),
            flags=tuple(
                {"name": name, "severity": "warning", "evidence": "", "fix": ""} for name in flags
            ),
        )
