"""The application while it serves: the page at once, the engine warming up behind it."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request

from chatbot.api import build_api
from chatbot.base_models import BaseModel
from chatbot.ended_sessions import EndedSessions
from chatbot.engines.base import Sampling
from chatbot.full_house import House
from chatbot.guards import GuardSettings, install_guards
from chatbot.identity import AccessSettings, Identity, Role, hash_password, load_secret
from chatbot.login import build_login
from chatbot.metrics import Metrics
from chatbot.service import SWITCH_INTERVAL_S, ChatService, ChatSettings
from chatbot.ui.layout import mount
from chatbot.ui.parts import Parts, UiSettings
from feedback_store.records import Deletion
from feedback_store.store import Store
from settings import Settings, SettingsError
from wiring.checks import make_checks
from wiring.commands import run_plain
from wiring.context import Context
from wiring.control import Say, build_control, make_token
from wiring.engines import find_base_model
from wiring.runtime import Runtime

logger = logging.getLogger(__name__)

TUNNEL_TIMEOUT_S: Final = 20.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is started; raises SettingsError when it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol asyncio leaves Nagle on, and every event waits 40 ms for the one before.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise SettingsError(_explain_bind(host, port, error)) from error
    return taken


def _explain_bind(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is in use by another program. Choose another one with --port {port + 1}, "
            "or end that program."
        )
    return f"The address {host}:{port} cannot be used: {error.strerror}. Change --host or --port."


def raise_file_limit() -> None:
    """Every connection is an open file, and many systems start with 1,024 of them allowed."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def keep_from_collection() -> None:
    """All that stands by now stays for good: the garbage collector need not walk through it, which
    held everybody up for 0.2 to 0.4 s whenever many came at once.
    """
    gc.collect()
    gc.freeze()


def is_reachable(settings: Settings) -> bool:
    """Whether anyone but this machine can come, be it through a proxy."""
    is_behind_proxy = bool(settings.trusted_proxies or settings.root_path)
    return settings.share or settings.host not in LOOPBACK or is_behind_proxy


def make_access(settings: Settings, secret: str, say: Callable[[str], None]) -> AccessSettings:
    """Once reachable from outside the studio always has a password; one is made if none is set.
    The same secret and passwords give the same access, so that sessions outlive a restart.
    """
    is_set = bool(settings.admin_password or settings.curator_password)
    if not is_reachable(settings) and not is_set:
        return AccessSettings()
    password = settings.admin_password
    if not password:
        password = secrets.token_urlsafe(9)
        say(f"Password of the studio, shown once: {password}")
    if password == settings.curator_password:
        raise SettingsError("curator_password must differ from admin_password.")
    return AccessSettings(
        is_login_required=True,
        admin_password_hash=_hash("admin_password", password, secret),
        curator_password_hash=_hash("curator_password", settings.curator_password, secret),
    )


def _hash(name: str, password: str, secret: str) -> str | None:
    try:
        return hash_password(password, secret) if password else None
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


class Application:
    """One life of the served application: everything it holds, and the order of its end."""

    def __init__(
        self, settings: Settings, store: Store, base: BaseModel, say: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.store = store
        self.say = say
        self._loop = asyncio.get_running_loop()
        self.runtime = Runtime(settings, store, base)
        self.checks = make_checks(settings, base)
        self.chat = ChatService(
            store,
            self.runtime.engine,
            self.runtime.production,
            _chat_settings(settings),
            status=self.runtime.status,
            choose_adapter=self.runtime.learning.choose,
        )
        secret = load_secret(settings.data_dir / "cookie.key")
        ended = EndedSessions(settings.data_dir / "ended_sessions.json")
        self.identity = Identity(secret, make_access(settings, secret, say), ended=ended)
        self.token = make_token()

    def build(self) -> FastAPI:
        """All routes of the application, in the order in which they are asked."""
        metrics = Metrics(self.chat)
        app = FastAPI(
            title=self.settings.title,
            root_path=self.settings.root_path,
            lifespan=self._life,
            docs_url=None,  # FastAPI's page loads its script from outside; the API has its own
            redoc_url=None,
        )
        app.include_router(build_api(self.chat, self.identity, metrics))
        app.include_router(build_login(self.identity, self.store.record))
        app.include_router(build_control(self.token, self._run_command))
        mount(app, self._parts())
        guards = GuardSettings(self.settings.cors_origins)
        house = House(self.chat.limits.is_full, metrics.count_request)
        install_guards(app, self.identity, guards, house)
        return app

    def _parts(self) -> Parts:
        reachable = is_reachable(self.settings)
        return Parts(
            chat=self.chat,
            store=self.store,
            engine_status=self.runtime.status,
            learning=self.runtime.learning,
            identify=self._identify,
            settings=UiSettings(
                title=self.settings.title,
                lang=self.settings.lang,
                public_arena=self.settings.public_arena,
                open_studio=not reachable,
                root_path=self.settings.root_path,
                retention_days=self.settings.retention_days,
                has_login=self.identity.settings.is_login_required,
            ),
            checks=self.checks,
        )

    def _identify(self, request: Request) -> tuple[str, Role | None]:
        return self.identity.person_of(request) or "", self.identity.role_of(request)

    def _run_command(self, name: str, values: dict[str, Any], say: Say) -> int:
        learning = self.runtime.learning
        context = Context(self.settings, self.store, say, lambda: learning, self._delete_person)
        return run_plain(context, name, values)

    def _delete_person(self, person_id: str) -> Deletion:
        """Called in a command's thread: the answers are on the loop."""
        deleting = self.chat.forget(person_id, lambda: self.store.delete_person(person_id))
        return asyncio.run_coroutine_threadsafe(deleting, self._loop).result()

    @asynccontextmanager
    async def _life(self, _app: FastAPI) -> AsyncIterator[None]:
        await self.runtime.start()
        try:
            yield
        finally:
            await self.chat.close()
            await self.runtime.stop()


def _chat_settings(settings: Settings) -> ChatSettings:
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    return ChatSettings(sampling=sampling, is_constrained=settings.answer_format != "text")


async def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises SettingsError before anything is started."""
    raise_file_limit()
    with Store.open(settings.data_dir) as store:
        base = find_base_model(settings)
        listening = bind(settings.host, settings.port)
        application = Application(settings, store, base, say)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        server = uvicorn.Server(
            uvicorn.Config(
                application.build(),
                log_level="warning",
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,  # 5 s cut connections just before their next use
                # Else the client's own X-Forwarded headers would count.
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                server_header=False,
            )
        )
        url = f"http://{settings.host}:{settings.port}"
        local = f"http://127.0.0.1:{settings.port}" if settings.host == "0.0.0.0" else url
        store.describe_owner(url=local, control_token=application.token)
        say(f"Open {local}{settings.root_path} in a browser. The engine warms up meanwhile.")
        if application.identity.settings.is_login_required and not settings.admin_password:
            token = application.identity.new_token()
            say(f"Studio without the password, once: {local}/studio/login?token={token}")
        if settings.share:
            asyncio.get_running_loop().run_in_executor(None, share, settings.port, say)
        # uvicorn ends in order and then raises SIGTERM once more, which would end this process
        # before the store is closed.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keep_from_collection()
        await server.serve(sockets=[listening])


def share(port: int, say: Callable[[str], None]) -> None:
    """Say the public link; without a way out say so in one sentence and go on locally."""
    from gradio.networking import setup_tunnel

    links: list[str] = []

    def open_tunnel() -> None:
        try:
            token = secrets.token_urlsafe(32)
            links.append(setup_tunnel("127.0.0.1", port, token, None, None))
        except Exception as error:  # noqa: BLE001  a library's download, socket or exit code
            logger.info("No tunnel: %s", error)

    opening = threading.Thread(target=open_tunnel, daemon=True)
    opening.start()
    opening.join(TUNNEL_TIMEOUT_S)
    if links:
        say(f"Public link, open to everybody who has it: {links[0]}")
    else:
        say(
            "No public link: Gradio's share server cannot be reached from here. "
            "The page works on this machine."
        )
