"""Token text in, readable text out, at every chunk boundary."""

import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.recommendation import Challenge, Recommendation, canonical, to_text
from chatbot.stream import ReadableStream

ANSWER = Recommendation(
    "바닷가에서는 오늘, 쓰레기 한 줌부터 주워 봐요.\n내일은 두 줌!",
    (
        Challenge("텀블러로 커피 받기", "카페에 갈 때 텀블러를 챙겨요."),
        Challenge('이름은 "한 줌"', "역슬래시 \\ 와 탭\t 그리고 {괄호} [대괄호]도 그대로예요."),
        Challenge("가족과 👨‍👩‍👧‍👦 걷기 🇰🇷", "줄 바꿈 문자\u2028와 \u0085도 있어요 👍🏽"),
    ),
)
CANONICAL = canonical(ANSWER)
ESCAPED = json.dumps(json.loads(CANONICAL))  # every Hangul as \uXXXX, emoji as surrogate pairs
READABLE = to_text(ANSWER)
JSON_LIKE = re.compile(r'[{\[]\s*["\'{\[\\}\]]|"(?:recommend|challenges|title|description)"')


def read(pieces: list[str]) -> tuple[str, list[Challenge], str, list[str]]:
    """(all text, challenges, recommend, the deltas)."""
    stream = ReadableStream()
    updates = [stream.feed(piece) for piece in pieces] + [stream.finish()]
    challenges = [challenge for update in updates for challenge in update.challenges]
    deltas = [update.delta for update in updates]
    return "".join(deltas), challenges, updates[-1].recommend, deltas


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("form", [CANONICAL, ESCAPED, json.dumps(json.loads(CANONICAL), indent=2)])
def test_every_single_cut_gives_the_same_readable_text(form: str) -> None:
    for at in range(len(form) + 1):
        text, challenges, recommend, _ = read([form[:at], form[at:]])
        assert text == READABLE
        assert tuple(challenges) == ANSWER.challenges
        assert recommend == ANSWER.recommend


@pytest.mark.parametrize("form", [CANONICAL, ESCAPED])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_every_chunk_size_gives_the_same_readable_text(form: str, size: int) -> None:
    assert read(cut(form, size))[0] == READABLE


words = st.text(min_size=1, max_size=30).filter(str.strip).filter(lambda s: "\0" not in s)
challenges_ = st.builds(Challenge, words, words)
answers = st.builds(
    Recommendation,
    words.filter(lambda s: not JSON_LIKE.search(s) and not s.endswith(("{", "["))),
    st.tuples(challenges_, challenges_, challenges_),
)


@settings(max_examples=150, deadline=None)
@given(answers, st.booleans(), st.lists(st.integers(1, 9), min_size=1))
def test_deltas_add_up_to_the_readable_text(
    answer: Recommendation, ascii_only: bool, sizes: list[int]
) -> None:
    form = json.dumps(json.loads(canonical(answer)), ensure_ascii=ascii_only)
    pieces, at, turn = [], 0, 0
    while at < len(form):
        size = sizes[turn % len(sizes)]
        pieces.append(form[at : at + size])
        at, turn = at + size, turn + 1
    text, challenges, recommend, _ = read(pieces)
    assert text == to_text(answer)
    assert tuple(challenges) == answer.challenges
    assert recommend == answer.recommend


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="{}[]\":,\\ntu`' \n가a1", max_size=60), st.integers(1, 5))
def test_any_input_is_read_the_same_whatever_the_chunks(text: str, size: int) -> None:
    whole, challenges, recommend, _ = read([text])
    assert read(cut(text, size))[:3] == (whole, challenges, recommend)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_spelled_out_syllables_are_never_shown_in_part(size: int) -> None:
    spelled = unicodedata.normalize("NFD", "한글과 밝은 해변")
    form = json.dumps({"recommend": spelled}, ensure_ascii=False)
    text, _, _, deltas = read(cut(form, size))
    assert text == spelled
    shown = [unicodedata.normalize("NFC", delta) for delta in deltas]
    assert "".join(shown) == "한글과 밝은 해변"
    assert not re.search("[\u1100-\u11ff]", "".join(shown))


@pytest.mark.parametrize("emoji", ["👨‍👩‍👧‍👦", "🇰🇷", "👍🏽", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_emoji_of_several_characters_comes_whole(emoji: str, ascii_only: bool) -> None:
    form = json.dumps({"recommend": f"가{emoji}나"}, ensure_ascii=ascii_only)
    deltas = read(cut(form, 1))[3]
    assert "".join(deltas) == f"가{emoji}나"
    assert any(emoji in delta for delta in deltas)


def test_a_surrogate_pair_split_between_two_pieces_is_joined() -> None:
    assert read(['{"recommend":"잎 \ud83c', '\udf31"}'])[0] == "잎 🌱"
    assert read(['{"recommend":"잎 \ud83c"', "}"])[0] == "잎 \ufffd"


@pytest.mark.parametrize(
    ("escape", "shown"),
    [
        (r"\ud83c", "\ufffd"),
        (r"\ud83c\ud83c\udf31", "\ufffd🌱"),
        (r"\udf31", "\ufffd"),
        (r"\u0000", "\ufffd"),
        (r"\uZZZZ", "\ufffdZZZZ"),
        (r"\q", "q"),
        (r"\n\/\"", '\n/"'),
    ],
)
def test_broken_escapes_become_one_replacement_character(escape: str, shown: str) -> None:
    form = '{"recommend":"가' + escape + '나"}'
    for size in (1, 2, 4, 100):
        assert read(cut(form, size))[0] == f"가{shown}나"


def test_the_sentence_grows_word_by_word_and_cards_come_when_complete() -> None:
    stream = ReadableStream()
    assert stream.feed('{"recommend":"오늘은 ').recommend == "오늘은 "
    assert stream.feed('걷기","chall').recommend == "오늘은 걷기"
    update = stream.feed('enges":[{"title":"걷기","description":"10분')
    assert (update.delta, update.challenges) == ("\n\n1. 걷기\n10분", ())
    assert stream.feed(' 걸어요."},{"ti').challenges == (Challenge("걷기", "10분 걸어요."),)


@pytest.mark.parametrize("end", range(0, len(CANONICAL), 3))
def test_a_cut_answer_shows_only_what_people_would_read(end: int) -> None:
    text = read([CANONICAL[:end]])[0]
    assert READABLE.startswith(text)


SENTENCE = "오늘은 텀블러를 챙겨요."
CARDS = [{"title": "가", "description": "나"}, {"title": "다", "description": "라"}]
PLAIN = {"recommend": SENTENCE, "challenges": CARDS}
INNER = json.dumps(PLAIN, ensure_ascii=False)


@pytest.mark.parametrize(
    "form",
    [
        INNER,
        "\n\n  " + INNER,
        f"```json\n{INNER}\n```",
        f"``` \n{json.dumps(PLAIN, ensure_ascii=False, indent=1)}\n```\n",
        json.dumps(INNER, ensure_ascii=False),
        json.dumps(json.dumps(INNER)),
        json.dumps({"text": INNER}, ensure_ascii=False),
        json.dumps({"text": PLAIN}, ensure_ascii=False),
        json.dumps([PLAIN], ensure_ascii=False),
        json.dumps(INNER, ensure_ascii=False)[1:-1],
        INNER[1:],
        INNER + "}]}",
        str(PLAIN),
        "\ufeff" + INNER.replace(":", " : ").replace(",", " ,\n"),
        json.dumps({**PLAIN, "score": 1.5, "ok": None}, ensure_ascii=False),
        json.dumps({"recommend": SENTENCE + json.dumps(CARDS, ensure_ascii=False)}),
        json.dumps({"recommend": INNER}, ensure_ascii=False),
        INNER.replace("}, {", "} {"),
        INNER[:-2],
    ],
)
def test_unconstrained_forms_of_the_same_answer_read_the_same(form: str) -> None:
    for size in (1, 3, len(form)):
        text, challenges, recommend, _ = read(cut(form, size))
        assert text == f"{SENTENCE}\n\n1. 가\n나\n\n2. 다\n라"
        assert challenges == [Challenge("가", "나"), Challenge("다", "라")]
        assert recommend.strip() == SENTENCE


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("", ""),
        ("안녕하세요! 반가워요.", "안녕하세요! 반가워요."),
        ('"제로웨이스트"는 쓰레기를 줄여요.', '"제로웨이스트"는 쓰레기를 줄여요.'),
        ("1. 걷기\n2. [준비] {물}\n`끝`", "1. 걷기\n2. [준비] {물}\n`끝`"),
        ('첫째\\n둘째 \\"셋째\\"', '첫째\n둘째 "셋째"'),
        ("¯\\_(ツ)_/¯", "¯\\_(ツ)_/¯"),
        ("추천해요: " + INNER, f"추천해요: \n{SENTENCE}\n\n1. 가\n나\n\n2. 다\n라"),
        (INNER + "\n### Answer: 끝", f"{SENTENCE}\n\n1. 가\n나\n\n2. 다\n라\n\n### Answer: 끝"),
        ('{"answer":"네, 그래요","list":["하나","둘"]}', "네, 그래요\n하나\n둘"),
        ('{"challenges":[{"title":"가","description":"나","category":"VEGAN"}]}', "1. 가\n나"),
        ('{"title": "그는 "좋다" 했다"}', "1. 그는 "),
        ("{", ""),
        ('{"', ""),
        ("```json", ""),
        ('{"recommend": "가', "가"),
        ("It's {'title': 'don't stop', 'description': 'go'}", "It's \n\n1. don't stop\ngo"),
    ],
)
def test_what_is_no_json_is_shown_and_syntax_is_not(form: str, shown: str) -> None:
    for size in (1, 2, 100):
        assert read(cut(form, size))[0] == shown


def test_a_hundred_thousand_brackets_do_no_harm() -> None:
    assert read(cut("[" * 100_000, 1000))[0] == ""
    assert read(cut('{"a":' * 20_000, 1000))[0] == ""
