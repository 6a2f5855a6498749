from chatbot.ui.insights_view import (
    Advice,
    CategoryRow,
    InsightsView,
    VersionRow,
    describe_advice,
    find_weakest,
    render_insights,
)
from feedback_store.records import TurnHit
from tests.chatbot.ui.records import EVIL, make_turn


def test_a_retrain_is_worth_it_only_with_new_examples() -> None:
    assert "would change nothing" in describe_advice(Advice(40, 0, 0, 0), "en")[0]
    assert "12 examples were accepted" in describe_advice(Advice(40, 12, 0, 0), "en")[0]
    assert "5 more accepted" in describe_advice(Advice(15, 15, 0, 5), "en")[0]


def test_the_weakest_category_is_the_one_with_the_largest_share_of_dislikes() -> None:
    rows = [
        CategoryRow("VEGAN", 30, 10, 2),
        CategoryRow("MEDIA", 30, 4, 4),
        CategoryRow("PLOGGING", 3, 0, 2),
    ]
    assert find_weakest(rows) == "MEDIA"


def test_too_few_or_only_good_ratings_make_no_category_weak() -> None:
    assert find_weakest([CategoryRow("PLOGGING", 3, 0, 2), CategoryRow("VEGAN", 9, 9, 0)]) == ""
    assert find_weakest([]) == ""


def test_before_the_first_answer_there_is_one_sentence() -> None:
    assert 'id="insights-empty"' in render_insights(InsightsView("ko", Advice(0, 0, 0, 20)))


def test_figures_add_up_over_the_versions_and_questions_are_escaped() -> None:
    view = InsightsView(
        "en",
        Advice(3, 3, 1, 0, "VEGAN"),
        versions=(VersionRow("v0001", 10, 4, 1, 250.0, 2100.0), VersionRow("", 5, 2, 1)),
        categories=(CategoryRow("VEGAN", 15, 6, 2),),
        reasons=(("doable", "like", 3),),
        worst=(TurnHit(turn=make_turn(user_text=EVIL), rating="dislike", person_id="p"),),
    )
    html = render_insights(view)
    assert "<b>15</b>" in html
    assert "75%" in html
    assert "2.1 s" in html
    assert "I can do it right away" in html
    assert "<img" not in html
