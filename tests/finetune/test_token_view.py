import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from chatbot.base_models import STARTER_DIR
from chatbot.recommendation import canonical
from finetune.chat_template import ChatTokenizer, TokenizerError, find_tokenizer
from finetune.token_view import show_tokens
from tests.finetune.examples import ANSWER, make_messages

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}"
    "{% endgeneration %}{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_model_dir(folder: Path, template: str | None = TEMPLATE, eos: object = "</s>") -> Path:
    """A byte-level tokenizer: each syllable takes three tokens."""
    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({char: at for at, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": {"content": "<s>"}, "eos_token": eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.fixture
def tokenizer(tmp_path: Path) -> ChatTokenizer:
    return ChatTokenizer(make_model_dir(tmp_path))


def test_the_loss_covers_the_answer_and_its_end_and_nothing_else(tokenizer: ChatTokenizer) -> None:
    view = show_tokens(tokenizer, make_messages(), canonical(ANSWER), max_length=4_096)
    learned = "".join(token.text for token in view.tokens if token.is_in_loss)
    assert learned == canonical(ANSWER) + "</s>"
    given = "".join(token.text for token in view.tokens if not token.is_in_loss)
    assert given.startswith("<s><|system|>")
    assert given.endswith("추천해 주세요.</s><|assistant|>")
    assert (view.num_prompt + view.num_loss, view.is_cut) == (len(view.tokens), False)
    assert view.has_end


def test_the_tokens_together_are_the_text(tokenizer: ChatTokenizer) -> None:
    view = show_tokens(tokenizer, make_messages(), "🌱가 b각\n", max_length=4_096)
    text = "".join(token.text for token in view.tokens)
    whole = [*make_messages(), {"role": "assistant", "content": "🌱가 b각\n"}]
    assert text == tokenizer.render(whole)


def test_a_row_that_is_cut_loses_its_end(tokenizer: ChatTokenizer) -> None:
    whole = show_tokens(tokenizer, make_messages(), "가나다", max_length=4_096)
    view = show_tokens(tokenizer, make_messages(), "가나다", max_length=len(whole.tokens) - 1)
    assert (view.is_cut, view.has_end, view.num_loss) == (True, False, whole.num_loss - 1)


def test_a_row_whose_prompt_fills_everything_teaches_nothing(tokenizer: ChatTokenizer) -> None:
    view = show_tokens(tokenizer, make_messages(), "가나다", max_length=20)
    assert (view.num_loss, view.num_prompt, view.is_cut) == (0, 20, True)


def test_an_end_token_that_is_a_space_is_noticed(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer(make_model_dir(tmp_path, eos=" "))
    assert not show_tokens(tokenizer, make_messages(), "가나다", max_length=4_096).has_end


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (None, "no_template"),
        ("{{ raise_exception('roles must alternate') }}", "template_refused"),
        ("{{ messages.__class__.__mro__ }}", "template_refused"),
    ],
)
def test_a_template_that_is_missing_or_refuses_is_named(
    tmp_path: Path, template: str | None, code: str
) -> None:
    with pytest.raises(TokenizerError) as error:
        ChatTokenizer(make_model_dir(tmp_path, template)).render(make_messages())
    assert error.value.code == code


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        ChatTokenizer(tmp_path)


def test_the_template_may_stand_in_the_config(tmp_path: Path) -> None:
    make_model_dir(tmp_path, template=None)
    path = tmp_path / "tokenizer_config.json"
    named = [{"name": "tool", "template": "x"}, {"name": "default", "template": TEMPLATE}]
    path.write_text(json.dumps({"eos_token": "</s>", "chat_template": named}))
    rendered = ChatTokenizer(tmp_path).render([{"role": "user", "content": "가"}])
    assert rendered == "<|user|>가</s>"


def test_tokens_are_counted_in_the_template(tokenizer: ChatTokenizer) -> None:
    messages = [{"role": "user", "content": "가나"}]
    assert tokenizer.count_tokens(messages) == len(tokenizer.encode(tokenizer.render(messages)))


@given(
    texts=st.lists(st.text(max_size=80) | st.text(" \n\u3000가a1{", max_size=80), min_size=1),
    repeat=st.integers(1, 30),
)
def test_what_is_surely_within_the_limit_is(texts: list[str], repeat: int) -> None:
    talk = [{"role": "user", "content": text * repeat} for text in texts[:3]]
    messages = [*make_messages()[:1], *talk]
    starter = find_tokenizer(STARTER_DIR)
    assert starter
    num_tokens = starter.count_tokens(messages)
    assert not starter.is_surely_within(messages, num_tokens - 1)


def test_an_ordinary_row_need_not_be_tokenized_to_be_within_the_limit() -> None:
    starter = find_tokenizer(STARTER_DIR)
    assert starter
    messages = [*make_messages(), {"role": "assistant", "content": canonical(ANSWER)}]
    assert starter.is_surely_within(messages, starter.count_tokens(messages) + 250)


def test_a_template_that_wants_roles_in_turn_says_so_for_short_rows_too(tmp_path: Path) -> None:
    turns = "{% if messages|length > 1 %}{{ raise_exception('roles must alternate') }}{% endif %}"
    make_model_dir(tmp_path, template=turns)
    tokenizer = ChatTokenizer(tmp_path)
    assert tokenizer.find_refusal(("user",)) == ""
    assert "roles must alternate" in tokenizer.find_refusal(("user", "user"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_starter_model_is_tokenized_as_transformers_does() -> None:
    from transformers import AutoTokenizer

    folder = Path(__file__).parents[2] / "assets" / "starter-model"
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = ChatTokenizer(folder)
    messages = [*make_messages(), {"role": "assistant", "content": canonical(ANSWER)}]
    expected = theirs.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    assert ours.encode(ours.render(messages)) == list(expected)
    prompt = theirs.apply_chat_template(
        list(make_messages()), add_generation_prompt=True, tokenize=False
    )
    assert ours.render(make_messages(), add_generation_prompt=True) == prompt
