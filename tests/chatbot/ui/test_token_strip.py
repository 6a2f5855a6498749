from chatbot.base_models import STARTER_DIR
from chatbot.ui.token_strip import render_tokens
from finetune.checks import CheckSettings
from tests.chatbot.ui.records import EVIL, make_example

STARTER = CheckSettings(model_dir=STARTER_DIR)


def test_the_tokens_of_the_answer_and_its_end_are_marked() -> None:
    example = make_example()
    html = render_tokens(example, example.completion, STARTER, "ko")
    given, learned = html.count('class="eco-token"'), html.count("eco-token eco-token-loss")
    assert given > 10
    assert learned > 20
    assert "답의 끝도 배워요." in html


def test_a_row_that_is_too_long_says_so() -> None:
    example = make_example()
    short = CheckSettings(model_dir=STARTER_DIR, max_length=15)
    assert "한도보다 길어 학습에서 빠져요." in render_tokens(example, "답", short, "ko")


def test_without_a_tokenizer_it_says_why_there_is_nothing() -> None:
    assert "토크나이저가 아직" in render_tokens(make_example(), "답", CheckSettings(), "ko")


def test_text_is_escaped() -> None:
    example = make_example(messages=({"role": "user", "content": EVIL},))
    assert "<img" not in render_tokens(example, EVIL, STARTER, "ko")
