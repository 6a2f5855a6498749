"""Signed cookies: nobody is somebody else, and nobody becomes an admin."""

import asyncio
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer
from starlette.datastructures import Headers

from chatbot.ended_sessions import EndedSessions
from chatbot.identity import (
    PERSON_COOKIE,
    SESSION_COOKIE,
    AccessSettings,
    Identity,
    LoginRefused,
    hash_password,
    is_from_this_machine,
    load_secret,
)

PASSWORD = "초록색 우산 7"
QUICK = PasswordHasher(time_cost=1, memory_cost=64)
HASH = QUICK.hash(PASSWORD)
CURATOR_HASH = QUICK.hash("curator-pass")
LOCKED = AccessSettings(is_login_required=True, admin_password_hash=HASH)


class Asked:
    """A request as far as identity looks at it."""

    def __init__(self, cookies: dict[str, str] | None = None, **headers: str) -> None:
        self.cookies = cookies or {}
        self.headers = Headers({"host": "localhost:7860", **headers})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_person_is_recognised_by_the_own_cookie_only() -> None:
    identity = Identity("s" * 64)
    person_id, cookie = identity.new_person()
    assert identity.read_person({PERSON_COOKIE: cookie}) == person_id
    assert Identity("t" * 64).read_person({PERSON_COOKIE: cookie}) is None
    assert identity.read_person({}) is None


@given(st.text(max_size=60))
def test_no_made_up_cookie_is_a_person_or_a_session(value: str) -> None:
    identity = Identity("s" * 64, LOCKED)
    assert identity.read_person({PERSON_COOKIE: value}) is None
    assert identity.role_of(Asked({SESSION_COOKIE: value})) is None


@given(st.integers(0, 200), st.sampled_from("abcXYZ019-_."))
def test_no_changed_character_passes(position: int, char: str) -> None:
    identity = Identity("s" * 64)
    person_id, cookie = identity.new_person()
    position %= len(cookie) - 1  # the very last one may hold unused bits
    changed = cookie[:position] + char + cookie[position + 1 :]
    read = identity.read_person({PERSON_COOKIE: changed})
    assert read == (person_id if changed == cookie else None)


def test_a_person_cookie_opens_no_studio() -> None:
    identity = Identity("s" * 64, LOCKED)
    _, cookie = identity.new_person()
    assert identity.role_of(Asked({SESSION_COOKIE: cookie})) is None
    forged = URLSafeSerializer("s" * 64, salt="person").dumps({"id": "x", "role": "admin"})
    assert identity.role_of(Asked({SESSION_COOKIE: str(forged)})) is None
    assert identity.read_person({PERSON_COOKIE: str(forged)}) is None


def test_each_password_opens_its_role() -> None:
    settings = AccessSettings(
        is_login_required=True, admin_password_hash=HASH, curator_password_hash=CURATOR_HASH
    )
    identity = Identity("s" * 64, settings)
    admin = identity.log_in(PASSWORD, "a")
    curator = identity.log_in("curator-pass", "a")
    assert identity.role_of(Asked({SESSION_COOKIE: admin})) == "admin"
    assert identity.role_of(Asked({SESSION_COOKIE: curator})) == "curator"


def test_five_wrong_passwords_lock_the_client_for_a_quarter_of_an_hour() -> None:
    clock = Clock()
    identity = Identity("s" * 64, LOCKED, clock)
    for _ in range(5):
        with pytest.raises(LoginRefused) as caught:
            identity.log_in("wrong", "1.2.3.4")
        assert caught.value.code == "wrong_password"
    with pytest.raises(LoginRefused, match="15 minutes") as caught:
        identity.log_in(PASSWORD, "1.2.3.4")
    assert caught.value.code == "too_many_tries"
    assert identity.log_in(PASSWORD, "5.6.7.8")
    clock.now += 15 * 60 + 1
    assert identity.log_in(PASSWORD, "1.2.3.4")


async def test_wrong_passwords_at_once_are_no_way_around() -> None:
    identity = Identity("s" * 64, LOCKED)

    def guess() -> str:
        try:
            return identity.log_in("wrong", "c")
        except LoginRefused as refusal:
            return refusal.code

    codes = await asyncio.gather(*[asyncio.to_thread(guess) for _ in range(20)])
    assert sorted(codes) == ["too_many_tries"] * 15 + ["wrong_password"] * 5


def test_a_right_password_forgets_the_wrong_ones() -> None:
    identity = Identity("s" * 64, LOCKED)
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(LoginRefused):
                identity.log_in("wrong", "c")
        assert identity.log_in(PASSWORD, "c")


def test_logging_out_ends_every_copy_of_the_session() -> None:
    identity = Identity("s" * 64, LOCKED)
    cookies = {SESSION_COOKIE: identity.log_in(PASSWORD, "c")}
    other = {SESSION_COOKIE: identity.log_in(PASSWORD, "c")}
    identity.log_out(Asked(cookies))
    assert identity.role_of(Asked(dict(cookies))) is None
    assert identity.role_of(Asked(other)) == "admin"


def test_a_session_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Identity("s" * 64, LOCKED)
    cookies = {SESSION_COOKIE: identity.log_in(PASSWORD, "c")}
    signed_at = URLSafeTimedSerializer("s").make_signer().get_timestamp()
    for hours, role in ((7.9, "admin"), (8.1, None)):
        later = signed_at + int(hours * 3600)
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda at=later: at)
        assert identity.role_of(Asked(cookies)) == role


def test_another_password_ends_the_sessions_of_the_old_one() -> None:
    cookies = {SESSION_COOKIE: Identity("s" * 64, LOCKED).log_in(PASSWORD, "c")}
    changed = AccessSettings(is_login_required=True, admin_password_hash=CURATOR_HASH)
    assert Identity("s" * 64, changed).role_of(Asked(cookies)) is None


def live(folder: Path, password: str = PASSWORD) -> Identity:
    """One life of an application on a data folder."""
    secret = load_secret(folder / "cookie.key")
    hashed = hash_password(password, secret)
    access = AccessSettings(is_login_required=True, admin_password_hash=hashed)
    return Identity(secret, access, ended=EndedSessions(folder / "ended.json"))


def test_sessions_outlive_a_restart_unless_the_password_changed(tmp_path: Path) -> None:
    first = live(tmp_path)
    kept = {SESSION_COOKIE: first.log_in(PASSWORD, "c")}
    left = {SESSION_COOKIE: first.log_in(PASSWORD, "c")}
    first.log_out(Asked(left))
    second = live(tmp_path)
    assert (second.role_of(Asked(kept)), second.role_of(Asked(left))) == ("admin", None)
    assert live(tmp_path, "another password").role_of(Asked(kept)) is None
    (tmp_path / "elsewhere").mkdir()
    assert live(tmp_path / "elsewhere").role_of(Asked(kept)) is None


def test_without_the_list_of_ended_sessions_everybody_logs_in_anew(tmp_path: Path) -> None:
    kept = {SESSION_COOKIE: live(tmp_path).log_in(PASSWORD, "c")}
    (tmp_path / "ended.json").write_text("[half")
    assert live(tmp_path).role_of(Asked(kept)) is None


def test_who_logged_out_stays_out_in_every_life_after_the_list_was_lost(tmp_path: Path) -> None:
    first = live(tmp_path)
    left = {SESSION_COOKIE: first.log_in(PASSWORD, "c")}
    first.log_out(Asked(left))
    (tmp_path / "ended.json").write_text("[half")
    second = live(tmp_path)
    kept = {SESSION_COOKIE: second.log_in(PASSWORD, "c")}
    second.log_out(Asked({SESSION_COOKIE: second.log_in(PASSWORD, "c")}))
    third = live(tmp_path)
    assert (third.role_of(Asked(left)), third.role_of(Asked(kept))) == (None, "admin")


def test_a_token_opens_one_session() -> None:
    identity = Identity("s" * 64, LOCKED)
    token = identity.new_token()
    assert identity.role_of(Asked({SESSION_COOKIE: identity.redeem_token(token)})) == "admin"
    for used in (token, "", "x"):
        with pytest.raises(LoginRefused):
            identity.redeem_token(used)


@pytest.mark.parametrize(
    ("headers", "is_here"),
    [
        ({"host": "localhost:7860"}, True),
        ({"host": "127.0.0.1"}, True),
        ({"host": "[::1]:7860"}, True),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, True),
        ({"host": "localhost:7860", "origin": "http://evil.example"}, False),
        ({"host": "localhost:7860", "origin": "http://localhost:9999"}, False),
        ({"host": "localhost:7860", "origin": "null"}, False),
        ({"host": "abc.gradio.live"}, False),
        ({"host": "evil.example:7860"}, False),
        ({"host": "localhost.evil.example"}, False),
        ({"host": "127.0.0.1.nip.io"}, False),
        ({"host": "127.0.0.1", "x-forwarded-for": "8.8.8.8"}, False),
        ({"host": "127.0.0.1", "x-real-ip": "8.8.8.8"}, False),
        ({"host": "127.0.0.1", "forwarded": "for=8.8.8.8"}, False),
        ({"host": "127.0.0.1", "via": "1.1 proxy"}, False),
        ({"host": "[::1"}, False),
        ({"host": ""}, False),
        ({}, False),
    ],
)
def test_without_login_only_this_machine_is_admin(headers: dict[str, str], is_here: bool) -> None:
    assert is_from_this_machine(Headers(headers)) is is_here


def test_a_proxy_that_says_nothing_of_itself_is_no_browser_of_this_machine() -> None:
    asked = Asked()
    asked.scope = {"http_version": "1.0"}  # type: ignore[attr-defined]
    assert Identity("s" * 64).role_of(asked) is None
    asked.scope = {"http_version": "1.1"}  # type: ignore[attr-defined]
    assert Identity("s" * 64).role_of(asked) == "admin"


def test_derived_ids_are_stable_and_need_the_secret() -> None:
    first, other = Identity("s" * 64), Identity("t" * 64)
    assert first.derive_id("c", "a", "b") == first.derive_id("c", "a", "b")
    assert (
        len(
            {
                first.derive_id("c", "a", "b"),
                first.derive_id("c", "ab"),
                first.derive_id("c", "b", "a"),
                other.derive_id("c", "a", "b"),
            }
        )
        == 4
    )


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = load_secret(path)
    assert len(secret) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_secret(path) == secret


def test_a_half_written_secret_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("abc")
    assert len(load_secret(path)) == 64


def test_settings_and_short_passwords_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="admin_password_hash"):
        AccessSettings(is_login_required=True)
    with pytest.raises(ValueError, match="at least 8"):
        hash_password("short")


def test_a_hashed_password_opens_and_does_not_show() -> None:
    hashed = hash_password(PASSWORD)
    assert hashed.startswith("$argon2id$")
    assert PASSWORD not in hashed
    settings = AccessSettings(is_login_required=True, admin_password_hash=hashed)
    assert Identity("s" * 64, settings).log_in(PASSWORD, "c")
