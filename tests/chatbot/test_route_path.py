import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from chatbot.guards import install_guards
from chatbot.identity import Identity


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands for a mounted page, which looks at what is left of the path."""
    from starlette._utils import get_route_path

    await JSONResponse({"rest": get_route_path(scope)})(scope, receive, send)


def build_app(root_path: str) -> FastAPI:
    app = FastAPI(root_path=root_path)
    install_guards(app, Identity("s" * 64))

    @app.get("/whole")
    async def whole(request: Request) -> str:
        return str(request.url_for("whole"))

    app.mount("/studio", inside)
    app.mount("/", inside)
    return app


@pytest.mark.parametrize(
    ("root_path", "asked", "rest"),
    [
        ("", "/studio/config", "/config"),
        ("", "/config", "/config"),
        ("/eco", "/studio/config", "/config"),  # the proxy took the sub-path off
        ("/eco", "/eco/studio/config", "/config"),  # the proxy left it
        ("/eco", "/eco/", "/"),
        ("/eco", "/eco", "/"),
        ("/eco", "/", "/"),
        ("/eco", "/economy", "/economy"),
        ("/eco", "//studio/config", "/config"),
    ],
)
async def test_a_page_is_found_wherever_the_proxy_puts_it(
    root_path: str, asked: str, rest: str
) -> None:
    transport = httpx.ASGITransport(build_app(root_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get(f"http://localhost{asked}")
        assert response.json() == {"rest": rest}
        whole = await client.get("/whole")
    assert whole.json() == f"http://localhost{root_path}/whole"


async def test_the_studio_is_closed_under_every_path() -> None:
    transport = httpx.ASGITransport(build_app("/eco"))
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        for path in ("/studio/x", "/eco/studio/x", "//studio/x"):
            assert (await client.get(f"http://evil.example{path}")).status_code == 401
