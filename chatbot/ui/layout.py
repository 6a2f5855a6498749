"""The two pages: the public chat at "/", and the studio of the admins at "/studio"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gradio as gr
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from chatbot.page_routes import PageRoutes
from chatbot.route_path import STUDIO_PREFIX
from chatbot.ui.adapters_tab import AdaptersTab
from chatbot.ui.arena_tab import ArenaTab
from chatbot.ui.chat_tab import ChatTab
from chatbot.ui.curate_tab import CurateTab
from chatbot.ui.dataset_download import DOWNLOAD_PATH, serve_dataset
from chatbot.ui.finetune_tab import FinetuneTab
from chatbot.ui.header import Header
from chatbot.ui.insights_tab import InsightsTab
from chatbot.ui.labels import I18N, label
from chatbot.ui.log_tab import LogTab, serve_log
from chatbot.ui.log_view import CSV_PATH
from chatbot.ui.no_fetch import forbid_fetching
from chatbot.ui.own_data import OWN_DATA_PATH, serve_own_data
from chatbot.ui.page import ASSETS_DIR, PageMiddleware, PageSettings
from chatbot.ui.parts import Parts
from chatbot.ui.people import check_declared
from chatbot.ui.theme import build_theme

_ASSETS: Final = {
    "theme.css": "text/css",
    "studio.css": "text/css",
    "ui.js": "text/javascript",
    "logo.svg": "image/svg+xml",
}
_UPLOAD_KEPT_S: Final = 3600  # how long Gradio keeps an uploaded file


def build_public(parts: Parts) -> gr.Blocks:
    """The page for everybody: chat, and the arena if it is set."""
    with _page(parts) as demo:
        header = Header(parts, is_studio=False)
        chat = ChatTab(parts, header, is_studio=False)
        if parts.settings.public_arena:
            arena = ArenaTab(parts, is_studio=False)
            with gr.Tabs(elem_id="tabs", elem_classes="eco-tabs"):
                with _tab("chat"):
                    chat.build()
                with _tab("arena") as arena_tab:
                    arena.build()
            arena.wire_select(arena_tab)
        else:
            chat.build()
        header.wire(demo)
        chat.wire_load(demo)
    return _finish(demo, is_studio=False)


def build_studio(parts: Parts) -> gr.Blocks:
    """The page of admins and curators: every tab, chat first."""
    with _page(parts) as demo:
        header = Header(parts, is_studio=True)
        chat = ChatTab(parts, header, is_studio=True)
        arena, curate = ArenaTab(parts, is_studio=True), CurateTab(parts)
        finetune, adapters = FinetuneTab(parts, header), AdaptersTab(parts, header)
        insights = InsightsTab(parts)
        with gr.Tabs(elem_id="tabs", elem_classes="eco-tabs"):
            with _tab("chat"):
                chat.build()
            for name, part in (
                ("arena", arena),
                ("curate", curate),
                ("finetune", finetune),
                ("adapters", adapters),
                ("insights", insights),
                ("log", LogTab(parts)),
            ):
                with _tab(name) as tab:
                    part.build()
                part.wire_select(tab)
        header.wire(demo)
        chat.wire_load(demo)
        finetune.wire_load(demo)
    return _finish(demo, is_studio=True)


def _page(parts: Parts) -> gr.Blocks:
    return gr.Blocks(title=parts.settings.title, fill_width=True, analytics_enabled=False)


def _tab(name: str) -> gr.Tab:
    return gr.Tab(label(f"tab_{name}"), id=name, elem_id=f"tab-{name}")


def mount(app: FastAPI, parts: Parts) -> FastAPI:
    """Put both pages, their assets and what surrounds them onto the app. Routes that the app adds
    itself must be there before, because the public page takes every path that is left.
    """
    forbid_fetching()
    for name, media_type in _ASSETS.items():
        app.add_api_route(f"/ui/{name}", _serve_asset(name, media_type), include_in_schema=False)

    app.add_api_route(OWN_DATA_PATH, serve_own_data(parts), include_in_schema=False)
    app.add_api_route(CSV_PATH, serve_log(parts), include_in_schema=False)
    app.add_api_route(DOWNLOAD_PATH, serve_dataset(parts), include_in_schema=False)
    own = tuple(route.path_regex for route in app.routes if isinstance(route, Route))

    def studio_user(request: Request) -> str | None:
        person_id, role = parts.identify(request)
        return person_id if role else None

    common: dict[str, Any] = {
        "theme": build_theme(),
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "show_error": False,
        "enable_monitoring": False,
        "pwa": False,
        "max_file_size": f"{parts.settings.max_upload_mb}mb",
        "i18n": I18N,
    }
    gr.mount_gradio_app(
        app, build_studio(parts), STUDIO_PREFIX, auth_dependency=studio_user, **common
    )
    gr.mount_gradio_app(app, build_public(parts), "/", **common)
    settings = PageSettings(
        title=parts.settings.title,
        default_lang=parts.settings.lang,
        is_text=parts.is_text,
        opens_studio=lambda request: (
            parts.settings.open_studio and parts.identify(request)[1] is not None
        ),
    )
    app.add_middleware(PageMiddleware, settings=settings)
    app.add_middleware(PageRoutes, own=own)
    return app


def _finish(demo: gr.Blocks, *, is_studio: bool) -> gr.Blocks:
    check_declared(demo, is_studio=is_studio)
    demo.queue(max_size=512, default_concurrency_limit=32)
    demo.state_session_capacity = 500
    demo.delete_cache = (_UPLOAD_KEPT_S, _UPLOAD_KEPT_S)
    return demo


def _serve_asset(name: str, media_type: str) -> Callable[[], Response]:
    def serve() -> Response:
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return FileResponse(ASSETS_DIR / name, media_type=media_type, headers=headers)

    return serve
