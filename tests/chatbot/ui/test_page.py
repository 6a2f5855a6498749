import json
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from chatbot.ui.i18n import TEXTS
from chatbot.ui.page import PageMiddleware, PageSettings, asset_version

GRADIO_PAGE = """<!doctype html>
<html
	lang="en">
<head>
<meta property="og:title" content="Gradio" />
<meta property="og:description" content="Click to try out the app!" />
</head><body>한글</body></html>"""


def make_app(opens_studio: Callable[[Request], bool] = lambda _request: False) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    @app.get("/studio/")
    @app.get("/other")
    def page() -> HTMLResponse:
        return HTMLResponse(GRADIO_PAGE)

    @app.post("/")
    def post() -> JSONResponse:
        return JSONResponse({"plain": True})

    app.add_middleware(
        PageMiddleware,
        settings=PageSettings("Eco & Loop", "ko", is_text=False, opens_studio=opens_studio),
    )
    return app


def make_client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize("path", ["/", "/studio/"])
async def test_pages_get_language_styles_and_script_before_anything_else(path: str) -> None:
    async with make_client(make_app()) as client:
        page = (await client.get(path, headers={"accept-language": "en-US"})).text
    head = page.split("<head>")[1]
    assert head.startswith("<script>")
    assert "'en'" in head
    for name in ("theme.css", "studio.css"):
        assert f"/ui/{name}?v={asset_version(name)}" in head
    assert 'lang="en"' in page
    assert "Eco &amp; Loop" in page
    assert "Gradio" not in page
    assert "한글" in page


async def test_the_browser_is_given_words_for_what_gradio_says_in_english() -> None:
    async with make_client(make_app()) as client:
        page = (await client.get("/", headers={"accept-language": "ko-KR"})).text
    words = json.loads(
        page.split("window.ecoWords = ")[1].split(";</script>")[0].split("};")[0] + "}"
    )
    assert words["toast_error"] == "문제가 있어요"
    assert words["toast_info"] == "알림"


async def test_no_word_for_the_browser_ends_the_script_that_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    monkeypatch.setitem(TEXTS["ko"], "toast_info", evil)
    async with make_client(make_app()) as client:
        page = (await client.get("/", headers={"accept-language": "ko-KR"})).text
    said = page.split("window.ecoWords = ")[1].split("};")[0]
    assert "<" not in said
    assert json.loads(f"{said}}}")["toast_info"] == evil


async def test_the_cookie_decides_the_language() -> None:
    async with make_client(make_app()) as client:
        client.cookies.set("lang", "ko")
        response = await client.get("/", headers={"accept-language": "en-US"})
    assert 'lang="ko"' in response.text
    assert response.headers["cache-control"] == "no-store"
    assert int(response.headers["content-length"]) == len(response.content)


async def test_a_made_up_language_cookie_changes_nothing() -> None:
    async with make_client(make_app()) as client:
        client.cookies.set("lang", "'];alert(1)//")
        page = (await client.get("/")).text
    assert "alert(1)" not in page
    assert 'lang="ko"' in page


async def test_other_paths_and_methods_pass_untouched() -> None:
    async with make_client(make_app()) as client:
        assert (await client.get("/other")).text == GRADIO_PAGE
        assert (await client.post("/")).json() == {"plain": True}


async def test_one_person_on_loopback_is_led_into_the_studio() -> None:
    async with make_client(make_app(lambda _request: True)) as client:
        response = await client.get("/")
        assert (response.status_code, response.headers["location"]) == (303, "/studio/")
        assert (await client.get("/studio/")).status_code == 200
