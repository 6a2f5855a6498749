"""The studio's login and logout: plain HTML in Korean and English, without a script."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from chatbot.guards import make_cookie
from chatbot.identity import SESSION_COOKIE, Identity, LoginRefused, is_from_this_machine
from chatbot.route_path import LOGIN_PATH, LOGOUT_PATH, STUDIO_PREFIX
from feedback_store.text import clean_text

_TEXTS: Final = {
    "ko": {
        "title": "스튜디오 로그인",
        "lead": "대화를 다듬고 모델을 학습시키는 화면이에요.",
        "password": "비밀번호",
        "name": "이름 (기록에 남아요, 선택)",
        "submit": "로그인",
        "back": "채팅으로 돌아가기",
        "other": "English",
        "wrong_password": "비밀번호가 맞지 않아요.",
        "wrong_token": "이미 썼거나 잘못된 링크예요. 비밀번호로 로그인해 주세요.",
        "too_many_tries": "여러 번 틀렸어요. {minutes}분 뒤에 다시 시도해 주세요.",
        "foreign": "다른 사이트에서 보낸 요청은 받지 않아요. 이 화면에서 다시 시도해 주세요.",
    },
    "en": {
        "title": "Studio login",
        "lead": "Curate conversations, train and publish the model.",
        "password": "Password",
        "name": "Your name (for the log, optional)",
        "submit": "Log in",
        "back": "Back to the chat",
        "other": "한국어",
        "wrong_password": "This password is wrong.",
        "wrong_token": "This link was used already, or is wrong. Log in with the password.",
        "too_many_tries": "Too many wrong passwords. Try again in {minutes} minutes.",
        "foreign": "Requests from other sites are not accepted. Try again on this page.",
    },
}
_WORDS: Final = ("title", "lead", "password", "name", "submit", "back", "other")
MAX_NAME: Final = 40  # characters
Record = Callable[..., object]
_STATUS: Final = {"wrong_password": 401, "wrong_token": 401, "too_many_tries": 429, "foreign": 403}
_PAGE: Final = """<!doctype html>
<html lang="{lang}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f5f7f5;
  color: #16211b; word-break: keep-all; }}
main {{ width: min(23rem, calc(100vw - 5rem)); padding: 2rem; border: 1px solid #dbe3de;
  border-radius: 1rem; background: #fff; }}
.mark {{ width: 2.75rem; height: 2.75rem; }}
h1 {{ font-size: 1.375rem; margin: .75rem 0 .25rem; }}
p {{ margin: 0; color: #52605a; }}
label {{ display: block; margin: 1.25rem 0 .375rem; font-size: .9375rem; font-weight: 600; }}
input, button {{ width: 100%; box-sizing: border-box; font: inherit; min-height: 2.75rem;
  padding: 0 .75rem; border-radius: .625rem; border: 1px solid #7a8a82; background: transparent;
  color: inherit; }}
button {{ margin-top: 1.5rem; border: 0; background: #1f7a50; color: #fff; font-weight: 600;
  cursor: pointer; }}
button:hover {{ background: #196541; }}
:focus-visible {{ outline: 3px solid #2f9e6e; outline-offset: 2px; }}
[role=alert] {{ margin: 1rem 0 0; padding: .625rem .75rem; border-radius: .625rem;
  background: #fdecea; color: #8a1c10; }}
nav {{ margin-top: 1.5rem; display: flex; justify-content: space-between; font-size: .9375rem; }}
a {{ color: #1b6e4b; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #121815; color: #e6ece8; }}
  main {{ background: #1a221e; border-color: #2c3832; }}
  p {{ color: #a5b3ab; }}
  a {{ color: #6fcf9f; }}
  [role=alert] {{ background: #46201c; color: #ffd9d3; }}
}}
</style></head>
<body><main>
<img class="mark" src="{logo}" alt="">
<h1>{title}</h1>
<p>{lead}</p>
{alert}
<form method="post" action="{action}">
<label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
  autofocus{described}>
<label for="name">{name}</label>
<input id="name" name="name" autocomplete="name" maxlength="{max_name}">
<button type="submit">{submit}</button>
</form>
<nav><a href="{home}">{back}</a><a href="?lang={other_lang}" lang="{other_lang}">{other}</a></nav>
</main></body></html>
"""


def build_login(identity: Identity, record: Record | None = None) -> APIRouter:
    """Routes of the login. Include them before the studio is mounted, which takes all its path.

    record(actor, action, target, **detail) keeps who came, who was refused, who went.
    """
    router = APIRouter(include_in_schema=False)
    log = _Log(identity, record)

    @router.get(LOGIN_PATH)
    async def show_login(request: Request) -> Response:
        token = request.query_params.get("token")
        if token:
            try:
                session = identity.redeem_token(token)
                await log.keep(request, "login", role="admin", name="")
                return _enter(request, identity, session)
            except LoginRefused as refusal:
                return _show(request, refusal)
        if identity.role_of(request):
            return _go_to(request, f"{STUDIO_PREFIX}/")
        return _show(request)

    @router.post(LOGIN_PATH)
    async def log_in(request: Request) -> Response:
        if not _is_own_page(request):
            return _show(request, LoginRefused("foreign", "The request came from another site."))
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
        password = form.get("password", [""])[0]
        client = _client_of(request)
        try:
            session = await run_in_threadpool(identity.log_in, password, client)
        except LoginRefused as refusal:
            if refusal.code == "wrong_password":  # not each try of a flood
                await log.keep(request, "login refused", address=client)
            return _show(request, refusal)
        name = clean_text(form.get("name", [""])[0]).strip()[:MAX_NAME]
        await log.keep(request, "login", role=identity.role_in(session), name=name)
        return _enter(request, identity, session)

    @router.post(LOGOUT_PATH)
    async def log_out(request: Request) -> Response:
        if not _is_own_page(request):
            return _show(request, LoginRefused("foreign", "The request came from another site."))
        if identity.role_of(request):
            await log.keep(request, "logout")
        await run_in_threadpool(identity.log_out, request)
        response = _go_to(request, LOGIN_PATH)
        gone = make_cookie(request.scope, SESSION_COOKIE, "", 0, "Strict")
        response.headers.append("set-cookie", gone)
        return response

    return router


class _Log:
    """Keeps entries of the audit log, in a thread: a write waits for the disk."""

    def __init__(self, identity: Identity, record: Record | None) -> None:
        self._identity = identity
        self._record = record

    async def keep(self, request: Request, action: str, **detail: Any) -> None:
        """One entry about whoever sent the request."""
        if self._record:
            actor = self._identity.person_of(request) or "somebody"
            await run_in_threadpool(self._record, actor, action, "", **detail)


def _client_of(request: Request) -> str:
    """Whose tries are counted. Through a tunnel everybody comes from loopback: their tries must not
    lock out who sits at this machine.
    """
    address = request.client.host if request.client else ""
    return f"{address} here" if is_from_this_machine(request.headers) else address


def _is_own_page(request: Request) -> bool:
    """Browsers name the page that sends a form: it must be one of ours."""
    origin = request.headers.get("origin")
    if origin is None or origin == "null":
        return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return urlsplit(origin).netloc == request.headers.get("host", "")


def _root(request: Request) -> str:
    return quote(str(request.scope.get("root_path", "")).rstrip("/"))


def _go_to(request: Request, path: str) -> Response:
    return RedirectResponse(_root(request) + path, status_code=303)


def _enter(request: Request, identity: Identity, session: str) -> Response:
    response = _go_to(request, f"{STUDIO_PREFIX}/")
    max_age_s = identity.settings.session_s
    cookie = make_cookie(request.scope, SESSION_COOKIE, session, max_age_s, "Strict")
    response.headers.append("set-cookie", cookie)
    return response


def _show(request: Request, refusal: LoginRefused | None = None) -> Response:
    lang = _choose_lang(request)
    texts = _TEXTS[lang]
    alert, headers, status = "", {"cache-control": "no-store"}, 200
    if refusal:
        minutes = max(1, round((refusal.retry_after_s or 0) / 60))
        sentence = texts[refusal.code].format(minutes=minutes)
        alert = f'<p role="alert" id="alert">{escape(sentence)}</p>'
        status = _STATUS[refusal.code]
        if refusal.retry_after_s:
            headers["retry-after"] = str(int(refusal.retry_after_s) + 1)
    root = _root(request)
    page = _PAGE.format(
        lang=lang,
        alert=alert,
        described=' aria-describedby="alert" aria-invalid="true"' if alert else "",
        action=f"{root}{LOGIN_PATH}?lang={lang}",
        home=f"{root}/",
        other_lang="en" if lang == "ko" else "ko",
        max_name=MAX_NAME,
        logo=f"{root}/ui/logo.svg",
        **{name: texts[name] for name in _WORDS},
    )
    return HTMLResponse(page, status_code=status, headers=headers)


def _choose_lang(request: Request) -> str:
    """The language asked for, else the one chosen on the page, else the browser's."""
    for choice in (request.query_params.get("lang"), request.cookies.get("lang")):
        if choice in _TEXTS:
            return choice
    return "ko" if "ko" in request.headers.get("accept-language", "ko").lower() else "en"
