from chatbot.service import TurnRequest
from chatbot.ui.chat_visits import Visits
from chatbot.ui.live import LiveAnswer
from chatbot.ui.people import Person

PERSON = Person("p", None, "ko")
OTHER = Person("q", None, "ko")


def make_answer() -> LiveAnswer:
    return LiveAnswer(TurnRequest(person_id="p", origin="public", lang="ko", mode="free_text"))


def test_a_page_that_turns_ends_its_events_and_keeps_its_answer() -> None:
    visits, answer = Visits(), make_answer()
    with visits.visit(PERSON, "page") as visit:
        visit.answer = answer
        assert visits.find_answer(PERSON, "page") is answer
        visits.turn_page(PERSON, "page")
        assert visit.is_over
        assert answer.is_kept
        assert visits.find_answer(PERSON, "page") is None
        with visits.visit(PERSON, "page") as next_visit:
            assert not next_visit.is_over
    assert visits.find_answer(PERSON, "page") is None


def test_other_pages_and_other_people_go_on() -> None:
    visits = Visits()
    with visits.visit(PERSON, "page") as visit:
        visits.turn_page(PERSON, "another page")
        visits.turn_page(OTHER, "page")
        assert not visit.is_over
