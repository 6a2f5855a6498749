"""The login pages and the studio's door, over HTTP."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from chatbot.guards import GuardSettings, install_guards
from chatbot.identity import AccessSettings, Identity
from chatbot.login import build_login

HASH = PasswordHasher(time_cost=1, memory_cost=64).hash("correct horse")  # quick to check
CURATOR_HASH = PasswordHasher(time_cost=1, memory_cost=64).hash("curator horse")
LOCKED = AccessSettings(is_login_required=True, admin_password_hash=HASH)
PAGE = {"accept": "text/html"}

MakeClient = Callable[..., httpx.AsyncClient]


async def studio(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands for the studio's own application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


Kept = list[tuple[str, str, dict[str, object]]]


def build_app(access: AccessSettings, root_path: str = "", kept: Kept | None = None) -> FastAPI:
    identity = Identity("s" * 64, access)
    app = FastAPI(root_path=root_path)
    install_guards(app, identity, GuardSettings(max_body=1000, max_studio_body=5000))

    def record(actor: str, action: str, _target: str, **detail: object) -> None:
        if kept is not None:
            kept.append((actor, action, detail))

    app.include_router(build_login(identity, record))

    @app.get("/whoami")
    async def whoami(request: Request) -> str | None:
        return identity.person_of(request)

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    app.state.identity = identity
    app.mount("/studio", studio)
    return app


@pytest.fixture
async def make_client() -> AsyncIterator[MakeClient]:
    clients: list[httpx.AsyncClient] = []

    def make(app: FastAPI, base_url: str = "http://localhost:7860") -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


async def test_login_opens_the_studio_and_logout_closes_it(make_client: MakeClient) -> None:
    client = make_client(build_app(LOCKED))
    assert (await client.get("/studio/")).status_code == 401
    redirect = await client.get("/studio/x", headers=PAGE)
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/studio/login")

    wrong = await client.post("/studio/login", data={"password": "wrong"})
    assert wrong.status_code == 401
    assert 'role="alert"' in wrong.text

    right = await client.post("/studio/login", data={"password": "correct horse"})
    assert (right.status_code, right.headers["location"]) == (303, "/studio/")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=28800" in cookie
    assert (await client.get("/studio/")).text == "inside"
    again = await client.get("/studio/login")
    assert again.headers["location"] == "/studio/"

    stolen = client.cookies["ecoloop_studio"]
    assert (await client.post("/studio/logout")).status_code == 303
    thief = make_client(build_app(LOCKED))
    client.cookies.set("ecoloop_studio", stolen)
    assert (await client.get("/studio/")).status_code == 401
    assert (await thief.get("/studio/")).status_code == 401


async def test_the_sixth_try_waits(make_client: MakeClient) -> None:
    client = make_client(build_app(LOCKED))
    codes = [
        (await client.post("/studio/login?lang=ko", data={"password": f"wrong {n}"})).status_code
        for n in range(5)
    ]
    assert codes == [401] * 5
    locked = await client.post("/studio/login?lang=ko", data={"password": "correct horse"})
    assert locked.status_code == 429
    assert "15분 뒤에" in locked.text
    assert 0 < int(locked.headers["retry-after"]) <= 901


async def test_a_one_time_link_works_once(make_client: MakeClient) -> None:
    app = build_app(LOCKED)
    token = app.state.identity.new_token()
    client = make_client(app)
    assert (await client.get(f"/studio/login?token={token}")).status_code == 303
    assert (await client.get("/studio/")).text == "inside"
    other = make_client(app)
    used = await other.get(f"/studio/login?token={token}")
    assert used.status_code == 401
    assert token not in used.text


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null", "sec-fetch-site": "cross-site"}],
)
async def test_forms_of_other_sites_are_refused(
    make_client: MakeClient, headers: dict[str, str]
) -> None:
    client = make_client(build_app(LOCKED))
    for path in ("/studio/login", "/studio/logout"):
        answer = await client.post(path, data={"password": "correct horse"}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers or "ecoloop_studio" not in str(answer.headers)


async def test_without_login_this_machine_enters_and_others_do_not(
    make_client: MakeClient,
) -> None:
    app = build_app(AccessSettings())
    assert (await make_client(app).get("/studio/")).text == "inside"
    outside = make_client(app, "https://abc.gradio.live")
    refused = await outside.get("/studio/", headers=PAGE)
    assert refused.status_code == 401
    assert "localhost" in refused.json()["detail"]
    cross = await make_client(app).post("/studio/api", headers={"origin": "http://evil.example"})
    assert cross.status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/studio", "/studio/", "/%73tudio/x", "/studio//login", "/studio/login/",
     "/studio/login/../x", "/studio/logout/x", "/studio/loginx"],
)  # fmt: skip
async def test_no_spelling_of_a_studio_path_gets_in(make_client: MakeClient, path: str) -> None:
    client = make_client(build_app(LOCKED))
    for method in ("GET", "POST", "PUT", "HEAD", "OPTIONS"):
        answer = await client.request(method, path)
        assert answer.status_code in (401, 303, 404, 405)
        assert answer.text != "inside"


@pytest.mark.parametrize(
    ("headers", "query", "word"),
    [
        ({"accept-language": "en-US,en;q=0.9"}, "", "Studio login"),
        ({"accept-language": "ko-KR"}, "", "스튜디오 로그인"),
        ({"accept-language": "en", "cookie": "lang=ko"}, "", "스튜디오 로그인"),
        ({"accept-language": "ko"}, "?lang=en", "Studio login"),
        ({"accept-language": "ko"}, "?lang=<script>", "스튜디오 로그인"),
    ],
)
async def test_the_page_speaks_the_readers_language(
    make_client: MakeClient, headers: dict[str, str], query: str, word: str
) -> None:
    page = await make_client(build_app(LOCKED)).get(f"/studio/login{query}", headers=headers)
    assert word in page.text
    assert "<script" not in page.text
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_behind_a_sub_path_links_and_cookies_stay_below_it(make_client: MakeClient) -> None:
    client = make_client(build_app(LOCKED, root_path="/eco"))
    redirect = await client.get("/eco/studio/", headers=PAGE)
    assert redirect.headers["location"] == "/eco/studio/login"
    right = await client.post("/eco/studio/login", data={"password": "correct horse"})
    assert right.headers["location"] == "/eco/studio/"
    assert "Path=/eco;" in right.headers["set-cookie"]


async def test_everybody_gets_one_cookie_and_keeps_it(make_client: MakeClient) -> None:
    app = build_app(LOCKED)
    client = make_client(app)
    first = await client.get("/whoami")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    second = await client.get("/whoami")
    assert second.json() == first.json()
    assert "set-cookie" not in second.headers
    assert (await make_client(app).get("/whoami")).json() != first.json()
    secure = await make_client(app, "https://chat.example").get("/whoami")
    assert "Secure" in secure.headers["set-cookie"]


async def test_bodies_over_the_limit_are_refused(make_client: MakeClient) -> None:
    client = make_client(build_app(AccessSettings()))
    assert (await client.post("/echo", content=b"x" * 1000)).json() == 1000
    assert (await client.post("/echo", content=b"x" * 1001)).status_code == 413

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    assert (await client.post("/echo", content=drip())).status_code == 413


async def test_who_came_was_refused_and_went_is_recorded(make_client: MakeClient) -> None:
    kept: Kept = []
    access = AccessSettings(
        is_login_required=True, admin_password_hash=HASH, curator_password_hash=CURATOR_HASH
    )
    client = make_client(build_app(access, kept=kept))
    await client.post("/studio/login", data={"password": "wrong", "name": "x"})
    name = "김하나\0" + "x" * 100
    await client.post("/studio/login", data={"password": "curator horse", "name": name})
    await client.post("/studio/logout")
    await client.post("/studio/logout")
    person = (await client.get("/whoami")).json()
    assert [(actor, action) for actor, action, _ in kept] == [
        (person, "login refused"),
        (person, "login"),
        (person, "logout"),
    ]
    assert kept[1][2] == {"role": "curator", "name": ("김하나\ufffd" + "x" * 100)[:40]}


async def test_tries_through_a_tunnel_do_not_lock_out_who_sits_here(
    make_client: MakeClient,
) -> None:
    app = build_app(LOCKED)
    tunnel = make_client(app, "http://abc.gradio.live")
    codes = [
        (await tunnel.post("/studio/login", data={"password": f"wrong {n}"})).status_code
        for n in range(7)
    ]
    assert codes == [401] * 5 + [429] * 2
    here = await make_client(app).post("/studio/login", data={"password": "correct horse"})
    assert here.status_code == 303


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://eco.example", 200),
        ("http://evil.example", 403),
        ("http://other.eco.example", 403),
        ("http://eco.example.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_no_other_site_sends_anything_to_the_page(
    make_client: MakeClient, origin: str | None, status: int
) -> None:
    client = make_client(build_app(LOCKED), "http://eco.example")
    headers = {} if origin is None else {"origin": origin}
    assert (await client.post("/echo", content=b"x", headers=headers)).status_code == status


async def test_no_other_site_reads_what_the_page_answers(make_client: MakeClient) -> None:
    app = build_app(LOCKED)

    @app.get("/leaky")
    async def leaky() -> Response:
        told = {"access-control-allow-origin": "https://evil.example", "x-kept": "1"}
        return Response("secret", headers={**told, "access-control-allow-credentials": "true"})

    response = await make_client(app).get("/leaky", headers={"origin": "https://evil.example"})
    assert [name for name in response.headers if name.startswith("access-control")] == []
    assert response.headers["x-kept"] == "1"
