from typing import Any, cast

from chatbot.ui.chat_reader import ChatReader
from chatbot.ui.chat_state import NUM_TALKS, OpenChat
from chatbot.ui.parts import Parts
from chatbot.ui.people import Person
from feedback_store.store import Store
from tests.chatbot.ui.test_chat_view import make_talk

PERSON = Person("p", None, "ko")


def test_every_conversation_can_be_reached_by_pressing_for_more(store: Store) -> None:
    for number in range(NUM_TALKS + 2):
        store.add_conversation(make_talk(conversation_id=f"c{number}", title=f"질문 {number}"))
    nothing = cast("Any", None)
    reader = ChatReader(Parts(nothing, store, nothing, nothing, identify=nothing), is_studio=False)
    state = OpenChat()
    first = reader.render_talks(state, PERSON, "", ())
    assert first.count('eco-talk"') == NUM_TALKS
    assert "talks-more" in first
    state = state.with_more_talks()
    second = reader.render_talks(state, PERSON, "", ())
    assert second.count('eco-talk"') == NUM_TALKS + 2
    assert "talks-more" not in second
    assert reader.render_talks(OpenChat(), Person("other", None, "ko"), "", ()).count("c1") == 0
