"""What a free message implies."""

import pytest

from chatbot import talk
from chatbot.talk import find_aside, follow_talk
from chatbot.themes import BaseInfo
from tests.test_patterns import LENGTH, LIMIT_S, seconds

FIRST = BaseInfo("city", "office", "VEGAN")
CURRENT = BaseInfo("city", "office", "MEDIA")


def category_of(text: str) -> str:
    return follow_talk(text, CURRENT, FIRST).category


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("비건 챌린지 알려줘", "VEGAN"),
        ("텀블러를 자주 까먹어요", "ZERO_WASTE"),
        ("음식물쓰레기가 너무 많아요", "ZERO_WASTE"),
        ("한강에서 쓰레기 줍는 거 해보고 싶어", "PLOGGING"),
        ("퇴근하고 산책하면서 할 만한 거", "PLOGGING"),
        ("전기요금이 많이 나와요", "ENERGY_SAVING"),
        ("에너지 절약은 어떻게 해요?", "ENERGY_SAVING"),
        ("안 입는 옷 리폼해서 쓰고 싶어요", "UPCYCLING"),
        ("UPCYCLING please", "UPCYCLING"),
        ("메일함이 꽉 찼어요", "DIGITAL_CARBON"),
        ("디지털 탄소가 뭐예요", "DIGITAL_CARBON"),
        ("채식하는 친구가 와요", "VEGAN"),
        ("책을 읽고 나누고 싶어요", "MEDIA"),
        ("How do I cut my electricity bill?", "ENERGY_SAVING"),
        ("I want to reuse old clothes", "UPCYCLING"),
        ("zero waste ideas", "ZERO_WASTE"),
        ("비건 말고 플로깅 알려줘", "PLOGGING"),
        ("no more plastic, vegan food instead of meat", "VEGAN"),
        ("제로웨이스트는 빼고 자전거 얘기 해줘", "CARBON_FOOTPRINT"),
    ],
)
def test_a_named_or_implied_category_switches(text: str, code: str) -> None:
    assert category_of(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "오늘 뭐 하면 좋을까요?",
        "모두부터 시작해요",
        "안전시설이 궁금해요",
        "운전기사로 일해요",
        "그 책임은 누가 져요",
        "정책이 바뀌었대요",
        "준비건은 끝났어요",
        "Don't waste my time",
        "a bookish request for a facebook post",
        "처음 해보는데 쉬운 걸로 부탁해요",
        "Is there anything I can do today?",
        "",
    ],
)
def test_a_word_inside_an_unrelated_word_switches_nothing(text: str) -> None:
    assert follow_talk(text, CURRENT, FIRST) == CURRENT


@pytest.mark.parametrize(
    "text",
    [
        "원래대로 해줘",
        "처음 걸로 돌아가자",
        "처음",
        "맨 처음 주제로",
        "원래 카테고리로",
        "back to the first one",
    ],
)
def test_returning_takes_the_category_picked_first(text: str) -> None:
    assert category_of(text) == "VEGAN"


@pytest.mark.parametrize(
    "text",
    [
        "아무거나 추천해줘",
        "아무 거나 괜찮아",
        "다른 거 없어?",
        "다른 걸로 부탁해",
        "딴 거 줘",
        "뭐든 좋아",
        "anything is fine",
        "Something else please",
        "surprise me",
        "문화 공유 말고요",
    ],
)
def test_anything_takes_another_category(text: str) -> None:
    assert category_of(text) == "DIGITAL_CARBON"


def test_another_category_leaves_out_what_the_message_excludes() -> None:
    assert category_of("디지털 탄소 말고 다른 거") == "VEGAN"


@pytest.mark.parametrize(
    ("text", "location", "work_type"),
    [
        ("바다 근처에서 재택으로 일해요", "beach", "remote"),
        ("바닷가마을 살아요", "beach", "office"),
        ("산에 살고 공장에서 일해요", "mountain", "field"),
        ("산, 사무직", "mountain", "office"),
        ("산속 집에서 일하는 프리랜서", "mountain", "remote"),
        ("시골에서 영업해요", "rural", "sales"),
        ("아파트 살고 회사원이에요", "city", "office"),
        ("I work from home near the sea", "beach", "remote"),
        ("We live on a farm", "rural", "office"),
        ("어제 산 컵이 있어요", "city", "office"),
        ("도시락을 싸요", "city", "office"),
        ("생산 라인과 계산대", "city", "office"),
        ("부산에서 산책 말고 뭐 하지", "city", "office"),
        ("이해안돼요", "city", "office"),
        ("다시내용을 알려줘", "city", "office"),
        ("my website shows electricity research", "city", "office"),
        ("섬유 유연제", "city", "office"),
    ],
)
def test_words_of_place_and_work_set_them(text: str, location: str, work_type: str) -> None:
    result = follow_talk(text, CURRENT, FIRST)
    assert (result.location, result.work_type) == (location, work_type)


def test_words_that_only_contain_a_place_keep_another_place() -> None:
    at_sea = BaseInfo("beach", "sales", "MEDIA")
    for text in (
        "도시락을 싸요",
        "역시내일이 좋아",
        "velocity matters",
        "the office of the president"[:3],
    ):
        assert follow_talk(text, at_sea, at_sea).location == "beach"


@pytest.mark.parametrize(
    ("text", "aside"),
    [
        ("이 멍청이 봇아", "abuse"),
        ("야 시발 뭐하냐", "abuse"),
        ("you are stupid", "abuse"),
        ("요즘 주식 뭐 사야 돼?", "off_topic"),
        ("write my homework", "off_topic"),
        ("환경에 좋은 주식도 있나요? 챌린지로 알려줘", None),
        ("시발점이 어디예요", None),
        ("쓰레기 줄이는 법", None),
        ("비건 맛집 알려줘", None),
        ("심심해 뭐 하지", None),
    ],
)
def test_abuse_and_other_topics_are_told_apart(text: str, aside: str | None) -> None:
    assert find_aside(text) == aside


ENDINGS = (*talk._PARTICLES.split("|"), *talk._ENDINGS.split("|"), *talk._NOUN_TAILS.split("|"))
TAILS = (*dict.fromkeys(ENDINGS), "이라서", "나이", "하고하", "은 ", " not ", "말고 ", "  ", "\n")


@pytest.mark.parametrize("word", ["바다", "산", "비건", "sea"])
def test_a_message_of_endings_is_read_at_once(word: str) -> None:
    """ "바다" with forty times "이나" had 2^40 readings, and stopped everything for good."""
    for tail in TAILS:
        for text in (word + tail * LENGTH, (word + tail) * LENGTH):
            message = text[: LENGTH - 1] + "힣"
            assert seconds(lambda: follow_talk(message, CURRENT, FIRST)) < LIMIT_S, tail  # noqa: B023


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("바다에서만이라도요", "beach"),
        ("산에서까지도", "mountain"),
        ("바다마을까지만이라도", "beach"),
    ],
)
def test_several_endings_in_a_row_are_read(text: str, location: str) -> None:
    assert follow_talk(text, CURRENT, FIRST).location == location
