"""Who somebody is, from signed cookies alone: chatters are anonymous people, the studio has
sessions with a role. Nothing else from a browser counts.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from itsdangerous import BadSignature, URLSafeSerializer, URLSafeTimedSerializer

from chatbot.ended_sessions import EndedSessions
from chatbot.tries import Tries

Role = Literal["admin", "curator"]

PERSON_COOKIE: Final = "ecoloop_person"
SESSION_COOKIE: Final = "ecoloop_studio"
MIN_PASSWORD: Final = 8  # characters

_PROXY_HEADERS: Final = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")

_hasher: Final = PasswordHasher()


class CarriesCookies(Protocol):
    """A request of Starlette, FastAPI or Gradio."""

    @property
    def cookies(self) -> Mapping[str, str]: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class AccessSettings:
    """Who may enter the studio. Without login, only a browser on this very machine may."""

    is_login_required: bool = False
    admin_password_hash: str | None = None
    curator_password_hash: str | None = None
    session_s: int = 8 * 3600
    num_tries: int = 5
    try_window_s: int = 15 * 60

    def __post_init__(self) -> None:
        if self.is_login_required and not self.admin_password_hash:
            raise ValueError("admin_password_hash is missing although is_login_required is set.")


class LoginRefused(Exception):
    """Codes: wrong_password, too_many_tries."""

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


def hash_password(password: str, secret: str | None = None) -> str:
    """argon2id hash of a password; raises ValueError when it is too short. With a secret the salt
    follows from it, so that the same password opens the same sessions after a restart.
    """
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"The password needs at least {MIN_PASSWORD} characters.")
    if secret is None:
        return _hasher.hash(password)
    return _hasher.hash(password, salt=hmac.digest(secret.encode(), b"password", "sha256")[:16])


def load_secret(path: Path) -> str:
    """The signing secret in this file, made on first use and readable by its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_text(encoding="ascii").strip()
        if len(secret) >= 32:
            return secret
        path.unlink()  # cut off while it was first written: nothing was signed with it
        return load_secret(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        secret = secrets.token_hex(32)
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret


class Identity:
    """Issues and reads the cookies."""

    def __init__(
        self,
        secret: str,
        settings: AccessSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        ended: EndedSessions | None = None,
    ) -> None:
        self.settings = settings or AccessSettings()
        self._secret = secret
        self._people = URLSafeSerializer(secret, salt="person")
        # A changed password ends every session that the old one opened.
        passwords = f"{self.settings.admin_password_hash}/{self.settings.curator_password_hash}"
        self._ended = EndedSessions() if ended is None else ended
        salt = "session/" + hashlib.sha256((passwords + self._ended.mark).encode()).hexdigest()
        self._sessions = URLSafeTimedSerializer(secret, salt=salt)
        self._tokens: set[str] = set()  # sha256 of unused one-time tokens
        self.tries = Tries(self.settings.num_tries, self.settings.try_window_s, clock)

    # --- chatters -------------------------------------------------------------------------------

    def new_person(self) -> tuple[str, str]:
        """(person_id, cookie value) of somebody who was never here."""
        person_id = f"p_{secrets.token_hex(12)}"
        return person_id, str(self._people.dumps(person_id))

    def read_person(self, cookies: Mapping[str, str]) -> str | None:
        """The person of a valid cookie."""
        value = _load(self._people, cookies.get(PERSON_COOKIE))
        return value if isinstance(value, str) and value.startswith("p_") else None

    def person_of(self, request: CarriesCookies) -> str | None:
        """The person behind a request, also behind the very first one, whose cookie is only being
        set by the PersonCookie middleware.
        """
        person_id = self.read_person(request.cookies)
        if person_id:
            return person_id
        state = getattr(request, "state", None)
        fresh = getattr(state, "person_id", None)
        return fresh if isinstance(fresh, str) else None

    def derive_id(self, prefix: str, *parts: str) -> str:
        """An id that follows from the parts and that nobody without the secret can make."""
        text = "\0".join(parts).encode("utf-8", "replace")
        return f"{prefix}_{hmac.new(self._secret.encode(), text, 'sha256').hexdigest()[:24]}"

    # --- the studio -----------------------------------------------------------------------------

    def role_of(self, request: CarriesCookies) -> Role | None:
        """What the request may do in the studio; None: nothing."""
        if not self.settings.is_login_required:
            is_here = is_from_this_machine(request.headers) and not _is_old_http(request)
            return "admin" if is_here else None
        session = self._read_session(request.cookies)
        return session["role"] if session else None

    def log_in(self, password: str, client: str) -> str:
        """The cookie of a new session; raises LoginRefused. Takes 0.1 s: call it in a thread."""
        with self.tries.attempt(client) as attempt:
            if attempt.wait_s:
                raise LoginRefused(
                    "too_many_tries",
                    f"Too many wrong passwords. Try again in {attempt.wait_s / 60:.0f} minutes.",
                    attempt.wait_s,
                )
            role = self._find_role(password)
            if role is None:
                raise LoginRefused("wrong_password", "This password is wrong.")
            attempt.succeed()
        return self._new_session(role)

    def role_in(self, session: str) -> Role | None:
        """The role in the cookie of a session."""
        found = self._read_session({SESSION_COOKIE: session})
        return found["role"] if found else None

    def new_token(self) -> str:
        """A token that opens one admin session, once."""
        token = secrets.token_urlsafe(24)
        self._tokens.add(_digest(token))
        return token

    def redeem_token(self, token: str) -> str:
        """The cookie of a new session; raises LoginRefused."""
        digest = _digest(token)
        if digest not in self._tokens:
            raise LoginRefused("wrong_token", "This link was used already, or is wrong.")
        self._tokens.discard(digest)
        return self._new_session("admin")

    def log_out(self, request: CarriesCookies) -> None:
        """End the session of the request for good, wherever its cookie was copied. Waits for the
        disk: call it in a thread.
        """
        session = self._read_session(request.cookies)
        if session:
            self._ended.add(session["id"], self.settings.session_s)

    def _find_role(self, password: str) -> Role | None:
        hashes: dict[Role, str | None] = {
            "admin": self.settings.admin_password_hash,
            "curator": self.settings.curator_password_hash,
        }
        for role, hashed in hashes.items():
            if hashed and _matches(hashed, password):
                return role
        return None

    def _new_session(self, role: Role) -> str:
        return str(self._sessions.dumps({"id": secrets.token_hex(12), "role": role}))

    def _read_session(self, cookies: Mapping[str, str]) -> dict[str, Any] | None:
        session = _load(self._sessions, cookies.get(SESSION_COOKIE), self.settings.session_s)
        if not isinstance(session, dict) or session.get("role") not in ("admin", "curator"):
            return None
        return None if session.get("id") in self._ended else session


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _load(serializer: Any, value: str | None, max_age_s: int | None = None) -> object:
    if not value:
        return None
    try:
        return serializer.loads(value, **({"max_age": max_age_s} if max_age_s else {}))
    except (BadSignature, ValueError):
        return None


def is_from_this_machine(headers: Mapping[str, str]) -> bool:
    """Whether a browser on this machine asked for a page of this machine.

    The address of the peer does not tell: through a tunnel everybody comes from loopback, and any
    page on the web can send a request here. So the name that was asked for must be this machine's,
    and a page that asks must come from it.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return _is_loopback(name) and (
        origin is None or origin in (f"http://{host}", f"https://{host}")
    )


def _is_old_http(request: CarriesCookies) -> bool:
    """nginx asks in HTTP/1.0 and under its upstream's name where its configuration says nothing of
    it; no browser does.
    """
    scope: Mapping[str, Any] = getattr(request, "scope", {})
    return scope.get("http_version") == "1.0"


def _is_loopback(name: str | None) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False
