"""An engine without a model: what an adapter says is a plain function, named in its weights file.

The text of adapter_model.safetensors is the name of a voice, so that what is loaded from a folder
is what speaks, as with the real engine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chatbot.recommendation import Challenge, Recommendation, canonical
from chatbot.themes import CATEGORIES
from finetune.cases import asked_category
from finetune.category_fit import CATALOG_PATH
from finetune.evaluate import Generated, GenerateRequest

Voice = Callable[[GenerateRequest], Generated]
CATALOG = {
    category["code"]: category["challenges"]
    for category in json.loads(CATALOG_PATH.read_text(encoding="utf-8"))["categories"]
}
BASE_MODEL = "starter"


class AdapterRefused(RuntimeError):
    """What a real engine raises for a bad adapter: an error with a code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def lang_of(request: GenerateRequest) -> str:
    return "en" if request.messages[0]["content"].startswith("You") else "ko"


def pick(request: GenerateRequest, category: str | None = None) -> Recommendation:
    """Three challenges of the asked (or the given) category, drawn by the seed."""
    lang = lang_of(request)
    wanted = category or asked_category(request.messages) or "VEGAN"
    drawn = random.Random(request.seed).sample(CATALOG[wanted], 3)
    opening = "오늘은 이런 실천을 권해 드려요." if lang == "ko" else "Here is what I suggest today."
    return Recommendation(
        opening,
        tuple(Challenge(item["title"][lang], item["description"][lang]) for item in drawn),
    )


def say(text: str, finish_reason: str = "stop") -> Generated:
    return Generated(text, finish_reason, 100.0)


def good(request: GenerateRequest) -> Generated:
    return say(canonical(pick(request)))


def sloppy(share: float, salt: str = "") -> Voice:
    """Good, except that a share of the unconstrained answers is not JSON."""

    def voice(request: GenerateRequest) -> Generated:
        is_bad = random.Random(f"{request.seed}/{salt}").random() < share
        if is_bad and not request.constrained:
            return say("좋은 생각이에요! 같이 해 봐요.")
        return good(request)

    return voice


def changed(change: Callable[[Recommendation], Recommendation]) -> Voice:
    """Good, with every recommendation changed."""
    return lambda request: say(canonical(change(pick(request))))


def with_titles(prefix: str) -> Callable[[Recommendation], Recommendation]:
    def change(told: Recommendation) -> Recommendation:
        return Recommendation(
            told.recommend,
            tuple(Challenge(prefix + item.title, item.description) for item in told.challenges),
        )

    return change


def stuff(told: Recommendation) -> Recommendation:
    packed = " ".join(f"{n}. {item.title}" for n, item in enumerate(told.challenges, 1))
    return Recommendation(f"{told.recommend} {packed}", told.challenges)


def with_descriptions(suffix: str) -> Callable[[Recommendation], Recommendation]:
    def change(told: Recommendation) -> Recommendation:
        return Recommendation(
            told.recommend,
            tuple(Challenge(item.title, item.description + suffix) for item in told.challenges),
        )

    return change


def same_three(told: Recommendation) -> Recommendation:
    return Recommendation(told.recommend, (told.challenges[0],) * 3)


def other_category(request: GenerateRequest) -> Generated:
    codes = [option.code for option in CATEGORIES]
    asked = asked_category(request.messages) or codes[0]
    return say(canonical(pick(request, codes[(codes.index(asked) + 3) % len(codes)])))


def run_together(told: Recommendation) -> Recommendation:
    return Recommendation(
        told.recommend,
        tuple(Challenge(item.title, item.description.replace(" ", "")) for item in told.challenges),
    )


PARROT_ANSWER = Recommendation(
    "고기 없는 하루를 시작해 보세요.",
    tuple(
        Challenge(item["title"]["ko"], item["description"]["ko"]) for item in CATALOG["VEGAN"][:3]
    ),
)

VOICES: dict[str, Voice] = {
    "good": good,
    "sloppy": sloppy(0.4),
    "slightly-better": sloppy(0.3, "other"),
    "stuffed": changed(stuff),
    "numbered": changed(with_titles("1. ")),
    "escaped": changed(with_descriptions("\\n")),
    "looping": changed(with_descriptions(" 좋아요" * 9)),
    "endless": lambda request: say(canonical(pick(request))[:-4], "length"),
    "parrot": lambda request: say(canonical(PARROT_ANSWER)),
    "off-topic": other_category,
    "same-three": changed(same_three),
    "foreign": changed(with_descriptions(" 공HED abandon")),
    "run-together": changed(run_together),
    "leaking": changed(with_descriptions(" 문의 010-1234-5678")),
    "advertising": changed(with_descriptions(" 자세히는 https://eco-sale.shop 에서 보세요.")),
    "plain-text": lambda request: say("1. 텀블러 쓰기\n2. 걷기\n3. 채식하기"),
}


class FakeServing:
    """A Serving: loads folders, speaks with their voices, and remembers what it was asked."""

    def __init__(self, base_voice: str = "sloppy", base_model: str = BASE_MODEL) -> None:
        self.base_model = base_model
        self.engine_facts = {"engine": "fake", "base": base_model}
        self.voices: dict[str | None, Voice] = {None: VOICES[base_voice]}
        self.paths: dict[str, Path] = {}
        self.asked: list[GenerateRequest] = []
        self.difference = 0.25  # to the base, whatever is loaded
        self.can_sleep = False
        self.is_asleep = False
        self.num_sleeps = 0
        self.on_load: Callable[[str], None] = lambda name: None  # told of what was not loaded yet

    def load(self, name: str, path: Path) -> float:
        if self.paths.get(name) == path:
            return self.difference
        self.on_load(name)
        weights = (path / "adapter_model.safetensors").read_text()
        if weights == "no-op":
            raise AdapterRefused("no_effect", f"{name} changes nothing: its tensors fit nowhere.")
        if weights not in VOICES:
            raise AdapterRefused("bad_adapter", f"{name} cannot be read.")
        self.voices[name] = VOICES[weights]
        self.paths[name] = path
        return self.difference

    def unload(self, name: str) -> None:
        self.voices.pop(name, None)
        self.paths.pop(name, None)

    def loaded(self) -> Sequence[str]:
        return tuple(self.paths)

    def sleep(self) -> None:
        self.is_asleep = True
        self.num_sleeps += 1

    def wake(self) -> None:
        self.is_asleep = False

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        self.asked += requests
        return [self.voices[request.adapter](request) for request in requests]


def write_adapter(folder: Path, voice: str, extra: Mapping[str, str] | None = None) -> Path:
    """The files that a training run leaves."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
    (folder / "adapter_model.safetensors").write_text(voice)
    for name, text in (extra or {}).items():
        (folder / name).write_text(text)
    return folder
