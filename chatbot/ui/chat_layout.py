"""The components of the Chat tab and where they stand."""

from __future__ import annotations

from typing import Any

import gradio as gr

from chatbot.themes import FIELDS
from chatbot.ui.blocks import QUIET, html_part
from chatbot.ui.chat_state import OpenChat
from chatbot.ui.chat_view import render_announcement
from chatbot.ui.i18n import wording
from chatbot.ui.labels import label
from feedback_store.text import MAX_MESSAGE


class ChatLayout:
    """Builds the components inside the current Blocks. Events may also wake the header's timer.
    is_text: this project answers in free text, and has no choices to pick.
    """

    def __init__(self, timer: gr.Timer, *, is_text: bool) -> None:
        self.timer = timer
        self.is_text = is_text
        self.state = gr.State(OpenChat())
        self.remembered = gr.Textbox(visible=False)
        with gr.Row(elem_classes="eco-chat", equal_height=False):
            with gr.Column(elem_id="chat-side", elem_classes="eco-side", scale=0, min_width=260):
                self._build_side()
            with gr.Column(elem_classes="eco-main", scale=1):
                self.transcript = html_part("chat-transcript")
                self.live = html_part("chat-live")
                self.announce = html_part("chat-announce", render_announcement(""))
                with gr.Column(elem_classes="eco-composer", elem_id="chat-composer"):
                    self._build_chips()
                    with gr.Row(elem_classes="eco-input-row", equal_height=False):
                        self._build_input()

    @property
    def chips(self) -> list[Any]:
        """The three choices."""
        return [self.location, self.work_type, self.category]

    def event_options(self, group: str, limit: int) -> dict[str, Any]:
        """Every event may change every part; its group runs at most `limit` at once."""
        outputs = [
            self.transcript, self.live, self.announce, self.state, self.input, *self.chips,
            self.chips_bar, self.stop, self.send, self.talks, self.privacy, self.timer,
        ]  # fmt: skip
        return {
            **QUIET,
            "concurrency_limit": limit,
            "concurrency_id": group,
            "outputs": outputs,
        }

    def _build_side(self) -> None:
        self.new = gr.Button(
            label("new_chat"), elem_id="chat-new", elem_classes="eco-new", size="md"
        )
        self.search = gr.Textbox(
            label=label("search_talks"),
            placeholder=label("search_talks"),
            show_label=False,
            container=False,
            elem_id="chat-search",
        )
        self.talks = html_part("chat-list")
        self.privacy = html_part("chat-privacy")

    def _build_chips(self) -> None:
        has_chips = not self.is_text
        self.chips_bar = html_part("chat-chips", visible=has_chips)
        with gr.Column(
            elem_classes="eco-chips-panel", elem_id="chat-chips-panel", visible=has_chips
        ):
            with gr.Row(elem_classes="eco-chip-row"):
                self.location = _build_choice("location", "chat-location")
                self.work_type = _build_choice("work_type", "chat-work")
            self.category = _build_choice("category", "chat-category")
            self.ask_base = gr.Button(
                label("ask_base"), elem_id="chat-ask-base", size="md", variant="secondary"
            )

    def _build_input(self) -> None:
        self.input = gr.Textbox(
            label=label("message_label"),
            placeholder=label(wording("message_placeholder", is_text=self.is_text)),
            show_label=False,
            container=False,
            lines=1,
            max_lines=6,
            max_length=MAX_MESSAGE,
            elem_id="chat-input",
            scale=1,
        )
        self.send = gr.Button(
            label("send"), elem_id="chat-send", variant="primary", scale=0, min_width=88
        )
        self.stop = gr.Button(
            label("stop"), elem_id="chat-stop", visible=False, scale=0, min_width=88
        )


def _build_choice(field: str, elem_id: str) -> gr.Radio:
    choices = [(label(f"option_{option.code}"), option.code) for option in FIELDS[field]]
    return gr.Radio(choices, label=label(field), elem_id=elem_id, elem_classes="eco-radio", scale=1)
