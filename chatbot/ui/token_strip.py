"""One example as training sees it, token by token, and which tokens the loss covers."""

from __future__ import annotations

from html import escape

from chatbot.ui.i18n import t, translate_error
from feedback_store.records import Example
from finetune.chat_template import TokenizerError, find_tokenizer
from finetune.checks import CheckSettings
from finetune.token_view import ShownToken, TokenView, show_tokens


def render_tokens(example: Example, completion: str, checks: CheckSettings, lang: str) -> str:
    """The strip, or the sentence why there is none."""
    tokenizer = find_tokenizer(checks.model_dir) if checks.model_dir else None
    if tokenizer is None:
        return _frame(f"<p>{t(lang, 'tokens_none')}</p>", lang)
    try:
        view = show_tokens(
            tokenizer,
            example.messages,
            completion,
            max_length=checks.max_length,
            options=dict(checks.template_options),
        )
    except TokenizerError as error:
        sentence = translate_error(lang, error.code, str(error))
        return _frame(f"<p>{escape(sentence)}</p>", lang)
    return _frame(_render_view(view, checks.max_length, lang), lang)


def _frame(body: str, lang: str) -> str:
    label = t(lang, "tokens_title")
    return f'<section class="eco-token-box" id="token-strip" aria-label="{label}">{body}</section>'


def _render_view(view: TokenView, max_length: int, lang: str) -> str:
    facts = t(lang, "tokens_facts", num=len(view.tokens), loss=view.num_loss, limit=max_length)
    if view.is_cut:
        note = t(lang, "tokens_cut")
    else:
        note = t(lang, "tokens_end" if view.has_end else "tokens_no_end")
    kind = "good" if view.has_end and not view.is_cut else "bad"
    tokens = "".join(map(_render_token, view.tokens))
    return (
        f"<h3>{t(lang, 'tokens_title')}</h3><p>{facts} "
        f'<span class="eco-token-{kind}">{note}</span></p><p class="eco-tokens">{tokens}</p>'
        f'<p class="eco-muted"><span class="eco-token eco-token-loss">{t(lang, "tokens_learned")}'
        f'</span> <span class="eco-token">{t(lang, "tokens_given")}</span></p>'
    )


def _render_token(token: ShownToken) -> str:
    """A token; one that only begins a syllable shows as a dot, and a line break as its sign."""
    loss = " eco-token-loss" if token.is_in_loss else ""
    text = escape(token.text).replace("\n", "↵<br>") or "·"
    return f'<span class="eco-token{loss}" title="{token.token_id}">{text}</span>'
