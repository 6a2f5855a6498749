from chatbot.ui.insights_view import (
    Advice,
    BadTurn,
    CategoryRow,
    InsightsView,
    VersionRow,
    describe_advice,
    find_weakest,
    render_insights,
)
from tests.chatbot.ui.records import EVIL, make_turn


def test_a_retrain_is_worth_it_only_with_new_examples() -> None:
    assert "would change nothing" in describe_advice(Advice(40, 0, 0, 0), "en")[0]
    assert "Only 9 examples" in describe_advice(Advice(40, 9, 0, 0), "en")[0]
    assert "About 30 are needed" in describe_advice(Advice(300, 29, 0, 0), "en")[0]
    assert "12 examples were accepted" in describe_advice(Advice(40, 12, 0, 0), "en")[0]
    assert "5 more accepted" in describe_advice(Advice(15, 15, 0, 5), "en")[0]
    worth = [Advice(40, 12, 0, 0), Advice(40, 9, 0, 0), Advice(15, 15, 0, 5)]
    assert [advice.is_worth_it for advice in worth] == [True, False, False]


def test_the_advice_says_on_what_to_train() -> None:
    weak = CategoryRow("VEGAN", 30, 10, 6)
    without, with_new = Advice(40, 12, 0, 0, weak), Advice(40, 12, 0, 0, weak, 4)
    assert "(6 of 16 disliked), and nothing new" in describe_advice(without, "en")[1]
    assert "4 of the new examples are about it" in describe_advice(with_new, "en")[1]


def test_the_weakest_category_is_the_one_with_the_largest_share_of_dislikes() -> None:
    rows = [
        CategoryRow("VEGAN", 30, 10, 2),
        CategoryRow("MEDIA", 30, 4, 4),
        CategoryRow("PLOGGING", 3, 0, 2),
    ]
    assert find_weakest(rows) == rows[1]


def test_too_few_or_only_good_ratings_make_no_category_weak() -> None:
    assert find_weakest([CategoryRow("PLOGGING", 3, 0, 2), CategoryRow("VEGAN", 9, 9, 0)]) is None
    assert find_weakest([]) is None


def test_before_the_first_answer_there_is_one_sentence() -> None:
    assert 'id="insights-empty"' in render_insights(InsightsView("ko", Advice(0, 0, 0, 20)))


def test_figures_add_up_over_the_versions_and_questions_are_escaped() -> None:
    view = InsightsView(
        "en",
        Advice(3, 3, 1, 0, CategoryRow("VEGAN", 15, 6, 2)),
        versions=(VersionRow("v0001", 10, 4, 1, 250.0, 2100.0), VersionRow("", 5, 2, 1)),
        categories=(CategoryRow("VEGAN", 15, 6, 2),),
        reasons=(("doable", "like", 3),),
        worst=(BadTurn(make_turn(user_text=EVIL), ("off_topic", EVIL), EVIL),),
        shown_version="v0001",
    )
    html = render_insights(view)
    assert "<b>15</b>" in html
    assert "75%" in html
    assert "2.1 s" in html
    assert "I can do it right away" in html
    assert '<option value="v0001" selected>' in html
    assert '<option value="">Base model</option>' in html
    assert "<img" not in html
