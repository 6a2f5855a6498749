"""The Gradio theme: neutral greys, one green, system fonts that read well in Korean."""

from __future__ import annotations

from typing import Final

import gradio as gr

FONTS: Final = (
    "Pretendard",
    "Apple SD Gothic Neo",
    "Noto Sans KR",
    "Malgun Gothic",
    "NanumGothic",
    "system-ui",
    "sans-serif",
)
MONO_FONTS: Final = ("ui-monospace", "SFMono-Regular", "D2Coding", "NanumGothicCoding", "monospace")
GREEN: Final = gr.themes.Color(
    "#eff8f2", "#dcf0e3", "#bbe1c9", "#8ccaa5", "#57ad7d",
    "#349160", "#1f7a4d", "#19633f", "#164e33", "#123f2a", "#0a2518",
)  # fmt: skip
STONE: Final = gr.themes.Color(
    "#f8faf8", "#f1f4f1", "#e3e8e3", "#cdd5ce", "#98a49b",
    "#66736a", "#4a554d", "#38423b", "#232b26", "#181f1b", "#101512",
)  # fmt: skip


def build_theme() -> gr.themes.Base:
    """Both the light and the dark side."""
    theme = gr.themes.Base(
        primary_hue=GREEN,
        secondary_hue=GREEN,
        neutral_hue=STONE,
        font=list(FONTS),
        font_mono=list(MONO_FONTS),
        radius_size=gr.themes.sizes.radius_lg,
    )
    return theme.set(
        body_background_fill="#f6f8f6",
        body_background_fill_dark="#101512",
        body_text_color="#18201b",
        body_text_color_dark="#e7ede9",
        body_text_color_subdued="#56625a",
        body_text_color_subdued_dark="#a3b0a8",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#181f1b",
        background_fill_secondary="#f1f4f1",
        background_fill_secondary_dark="#1f2823",
        border_color_primary="#dfe5e0",
        border_color_primary_dark="#2d3731",
        block_background_fill="#ffffff",
        block_background_fill_dark="#181f1b",
        block_border_width="1px",
        block_shadow="none",
        block_label_text_color="#56625a",
        block_label_text_color_dark="#a3b0a8",
        block_info_text_color="#56625a",
        block_info_text_color_dark="#a3b0a8",
        input_background_fill="#ffffff",
        input_background_fill_dark="#141a17",
        input_placeholder_color="#6a766e",
        input_placeholder_color_dark="#8d9a92",
        input_border_color="#cdd5ce",
        input_border_color_dark="#38433c",
        input_border_color_focus="#1f7a4d",
        input_border_color_focus_dark="#57ad7d",
        input_shadow="none",
        button_primary_background_fill="#1f7a4d",
        button_primary_background_fill_hover="#19633f",
        button_primary_background_fill_dark="#23804f",
        button_primary_background_fill_hover_dark="#2a9059",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#eff8f2",
        button_secondary_background_fill_dark="#1f2823",
        button_secondary_background_fill_hover_dark="#26322b",
        button_secondary_border_color="#cdd5ce",
        button_secondary_border_color_dark="#38433c",
        color_accent="#1f7a4d",
        color_accent_soft="#e4f3ea",
        color_accent_soft_dark="#1c3a2a",
        link_text_color="#1f7a4d",
        link_text_color_dark="#6cc79a",
    )
