"""The real application below /eco behind a reverse proxy. The same was looked at once with nginx
1.22 and assets/deploy/nginx.conf.
"""

import os
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.chatbot.engines.fake_openai import FakeOpenAI
from tests.running_app import RunningApp, running_app
from tests.wiring.reverse_proxy import proxying

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
FLAGS = ("--root-path", "/eco", "--trusted-proxies", "127.0.0.1")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    os.environ["ECOLOOP_ADMIN_PASSWORD"] = PASSWORD
    folder = tmp_path_factory.mktemp("proxy")
    with FakeOpenAI() as fake, running_app(folder / "data", *FLAGS, "--vllm-urls", fake.url) as app:
        os.environ.pop("ECOLOOP_ADMIN_PASSWORD")
        app.wait_ready(60)
        yield app


@pytest.fixture(scope="module")
def url(app: RunningApp) -> Iterator[str]:
    with proxying(app.url, "/eco") as outside:
        yield outside


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as opened:
        yield opened


def cookie_of(response: httpx.Response, name: str) -> str:
    found = [c for c in response.headers.get_list("set-cookie") if c.startswith(f"{name}=")]
    assert len(found) == 1
    return found[0]


def test_every_address_on_the_page_is_below_the_path(client: httpx.Client, url: str) -> None:
    page = client.get("/")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
    assert len(addresses) >= 3
    assert [a for a in addresses if not a.startswith("/eco/") and a != "/manifest.json"] == []
    for address in addresses:
        if address.startswith("/eco/"):
            assert client.get(address.removeprefix("/eco")).status_code == 200
    assert f'"root":"{url.replace("http:", "https:")}"' in page.text


def test_cookies_go_over_https_and_below_the_path_only(client: httpx.Client) -> None:
    person = cookie_of(client.get("/"), "ecoloop_person")
    login = client.post("/studio/login", data={"password": PASSWORD})
    assert login.headers["location"] == "/eco/studio/"
    for cookie in (person, cookie_of(login, "ecoloop_studio")):
        assert "; Path=/eco;" in cookie
        assert cookie.endswith("; Secure")
        assert "; HttpOnly;" in cookie


def test_the_studio_opens_after_the_login(client: httpx.Client) -> None:
    closed = client.get("/studio/", headers={"accept": "text/html"})
    assert (closed.status_code, closed.headers["location"]) == (303, "/eco/studio/login")
    login = client.post("/studio/login", data={"password": PASSWORD})
    cookie = cookie_of(login, "ecoloop_studio").split(";")[0]
    config = client.get("/studio/config", headers={"cookie": cookie})
    assert config.status_code == 200
    assert config.json()["root"].endswith("/eco/studio")


def test_tries_are_counted_for_the_client_and_not_for_the_proxy(client: httpx.Client) -> None:
    def enter(who: str, **headers: str) -> int:
        sent = {"x-test-client": who, **headers}
        wrong = {"password": "wrong password"}
        return client.post("/studio/login", data=wrong, headers=sent).status_code

    assert [enter("203.0.113.7") for _ in range(6)] == [401] * 5 + [429]
    assert enter("203.0.113.8") == 401
    assert enter("203.0.113.7", **{"X-Forwarded-For": "198.51.100.1"}) == 429


def test_nobody_becomes_an_admin_by_a_header(app: RunningApp, client: httpx.Client) -> None:
    for headers in (
        {"host": "localhost"},
        {"x-forwarded-host": "localhost"},
        {"x-forwarded-for": "127.0.0.1"},
    ):
        assert client.get("/studio/config", headers=headers).status_code == 401
        direct = httpx.get(f"{app.url}/studio/config", headers=headers, trust_env=False)
        assert direct.status_code == 401


def test_an_answer_comes_piece_by_piece(client: httpx.Client) -> None:
    params = {"sessionId": "s", "message": "조금씩 말해 주세요 (stall)"}
    started = time.monotonic()
    with client.stream("GET", "/ai/chatbot/recommendation/free-text", params=params) as response:
        first = next(response.iter_bytes())
    assert b"event: challenge" in first
    assert time.monotonic() - started < 5
