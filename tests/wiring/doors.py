"""Tries every event and every route of both pages as everybody, in every way there is to call them,
and prints as JSON how many tries there were and which of them did or showed more than the role
may. Everything is found by looking at the application, so that nothing new is forgotten.

A process of its own: `python -m tests.wiring.doors FOLDER`; Gradio leaves loops open on import.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import inspect
import json
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import uvicorn
from fastapi import FastAPI
from starlette.routing import Mount, Route

from chatbot.identity import PERSON_COOKIE, SESSION_COOKIE, Identity
from chatbot.page_routes import is_page_route
from feedback_store.records import Conversation, NewFeedback, NewTurn
from feedback_store.store import Store
from settings import Settings
from tests.chatbot.engines.fake_openai import FakeOpenAI
from tests.chatbot.ui.scripted_learning import ScriptedLearning, add_version
from tests.scripted_engine import ANSWER, ANSWER_TEXT
from wiring.engines import find_base_model
from wiring.server import Application, bind

ADMIN, CURATOR = "door-admin-1", "door-curator-1"
SECRET = "비밀표식칠칠"  # in what the victim said and in what only curators see
ADMIN_SECRET = "관리자표식팔팔"  # in what only admins see
VICTIM = "p_victim"
UI = Path(__file__).parents[2] / "chatbot" / "ui"
PREFIXES = ("/studio", "//studio", "/./studio", "/x/../studio", "/%73tudio", "/Studio", "/studio//")
PRETENDERS = ("pretender", "forger", "logged out")
CLOSED = {303, 307, 401, 403, 404, 405, 413, 422}


class WatchedLearning(ScriptedLearning):
    """Notes what it is told to do; its log is for admins only."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, duration_s=0.5)
        self.told: list[str] = []

    def live(self) -> None:
        return None

    def reconcile(self, *, is_start: bool = False) -> None:
        """Nothing to bring in step."""

    def stop(self, timeout_s: float) -> None:
        self.cancel.set()

    def start_retrain(self, recipe: str, *, actor: str, **how: Any) -> None:
        self.told.append("start")

    def resume_retrain(self, *, actor: str) -> None:
        self.told.append("resume")

    def cancel_retrain(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("cancel")

    def log_tail(self, num_lines: int) -> list[str]:
        return [ADMIN_SECRET]

    def retrain_progress(self) -> Any:
        from finetune.progress import LoopProgress

        return LoopProgress("done", "Done.", 1.0)

    def promote(
        self, version: str | None, *, actor: str, reason: str, override: bool = False
    ) -> None:
        self.told.append(f"promote {version} {override}")
        super().promote(version, actor=actor, reason=reason, override=True)


@dataclass(frozen=True)
class Event:
    """One event function of one page."""

    page: str  # "" or "/studio"
    index: int
    name: str
    api_name: str
    data: list[Any]
    trigger: int
    takes_event: bool


@dataclass
class Found:
    """What came out."""

    num_tries: int = 0
    leaked: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # answers of 5xx
    effects: Counter[str] = field(default_factory=Counter)  # of the admin: the tries are real


def find_actions() -> list[str]:
    """Every word by which an event function may choose what it does: matched, compared with its
    `action`, or the key of a table.
    """
    words: set[object] = set()
    for path in UI.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Dict) and "event_data(" in text:
                words |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
            if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
                words.add(node.value.value)
            if isinstance(node, ast.Compare) and "action" in ast.unparse(node.left):
                words |= {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
    return sorted(word for word in words if isinstance(word, str) and word and word != "action")


def add_victim(store: Store) -> int:
    """Somebody with a conversation, liked and usable for training; two versions of the model."""
    store.add_conversation(
        Conversation(
            conversation_id="c-victim", person_id=VICTIM, origin="public", lang="ko", title=SECRET,
            location="city", work_type="office", category="VEGAN", first_category="VEGAN",
            may_train=True,
        )
    )  # fmt: skip
    turn_id = 0
    for number in range(6):
        turn = store.add_turn(
            NewTurn(
                conversation_id="c-victim", mode="free_text", user_text=f"{SECRET} {number}",
                location="city", work_type="office", category="VEGAN",
                messages=({"role": "user", "content": f"{SECRET} {number}"},),
                raw_text=ANSWER_TEXT, recommendation=ANSWER, status="ok", base_model="starter",
                prompt_hash="h",
            )
        )  # fmt: skip
        turn_id = turn.turn_id
        store.set_feedback(NewFeedback(turn_id=turn_id, person_id=VICTIM, rating="like"))
    for share in (0.6, 0.7):
        version = add_version(store, share=share)
        store.set_alias("production", version, actor="retrain", reason="passed the gate")
    return turn_id


@contextmanager
def serve(settings: Settings, store: Store) -> Iterator[tuple[str, Application, FastAPI]]:
    """The application on a real port, in a thread with a loop of its own."""
    listening = bind("127.0.0.1", 0)
    begun: list[tuple[uvicorn.Server, Application, FastAPI]] = []

    async def run() -> None:
        application = Application(settings, store, find_base_model(settings), lambda _: None)
        learning = WatchedLearning(store)
        learning.collect()
        application.runtime.learning = learning  # type: ignore[assignment]
        app = application.build()
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        begun.append((uvicorn.Server(config), application, app))
        await begun[0][0].serve(sockets=[listening])

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    while not (begun and begun[0][0].started):
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", begun[0][1], begun[0][2]
    finally:
        begun[0][0].should_exit = True
        thread.join()


def list_routes(routes: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route, mounted pages included."""
    for route in routes:
        if isinstance(route, Mount):
            yield from list_routes(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            path = prefix + re.sub(r"\{[^}]*\}", "x", route.path)
            for method in sorted({*(route.methods or ()), "POST", "PUT", "DELETE"}):
                yield method, path


def list_events(app: FastAPI) -> list[Event]:
    """Every event of every mounted page."""
    events = []
    for route in app.routes:
        if not isinstance(route, Mount) or not hasattr(route.app, "get_blocks"):
            continue
        for index, fn in route.app.get_blocks().fns.items():
            if fn.fn is None:
                continue
            parameters = inspect.signature(fn.fn).parameters
            trigger = fn.targets[0][0] if fn.targets else 0
            events.append(
                Event(
                    page=route.path, index=index, name=fn.fn.__qualname__,
                    api_name=str(fn.api_name), data=[_sample(part) for part in fn.inputs],
                    trigger=trigger or 0, takes_event="event" in parameters,
                )
            )  # fmt: skip
    return events


def _sample(component: Any) -> Any:
    if isinstance(component, gr.Radio):
        return component.choices[0][1]
    if isinstance(component, gr.Textbox):
        return "c-victim"
    return None


class Doors:
    """One application, those who knock, and a look at what changed."""

    def __init__(
        self, url: str, application: Application, app: FastAPI, turn_id: int, is_quick: bool
    ) -> None:
        self.url = url
        self.store = application.store
        self.app = app
        learning = application.runtime.learning
        assert isinstance(learning, WatchedLearning)
        self.learning = learning
        self.turn_id = turn_id
        self.found = Found()
        self.is_quick = is_quick
        self.until = math.inf  # no further try after this
        self.cookies = make_cookies(application.identity)
        self.clients = {
            role: httpx.Client(base_url=url, cookies=cookies, trust_env=False, timeout=20)
            for role, cookies in self.cookies.items()
        }
        self.actions = find_actions()

    def look(self, role: str) -> str:
        """All that this role must not change, as text."""
        tables = ["aliases", "alias_events", "adapters", "datasets", "runs", "dataset_rows"]
        if role != "curator":
            tables += ["examples", "decisions", "conversations", "turns", "feedback", "consents"]
        else:  # curates, but what others said stays
            tables += ["conversations", "turns", "feedback", "consents"]
        return self.store._db.read(_dump, tables) + repr(self.learning.told)

    def may_see(self, role: str, text: str) -> bool:
        """Whether nothing in the answer is for others only."""
        if role == "admin":
            return True
        return ADMIN_SECRET not in text and (role == "curator" or SECRET not in text)

    def try_one(self, role: str, what: str, call: Any) -> None:
        """Call, then see whether it did or showed too much."""
        if time.monotonic() > self.until and role != "admin":
            return
        before = self.look(role)
        status, text = call()
        self.found.num_tries += 1
        if role == "admin":
            self.found.effects[what] += before != self.look(role)
            return
        if status >= 500 and "gradio_api/run" not in what:
            self.found.broken.append(f"{role} {status} {what}")
        if before != self.look(role) or not self.may_see(role, text):
            self.found.leaked.append(f"{role} {what}")

    # --- events ---------------------------------------------------------------------------------

    def try_events(self) -> None:
        """Every event in every way, with every action that any function knows."""
        for event in list_events(self.app):
            for role in self.cookies:
                if role == "admin":
                    continue
                few = self.is_quick and role in PRETENDERS
                actions = self.actions if event.takes_event else [""]
                for action in actions[:1] if few else actions:
                    self._try_queue(role, event, action)
                for way in ("run/predict", f"run/{event.api_name}", f"api/{event.api_name}",
                            f"call/{event.api_name}", f"call/v2/{event.api_name}"):  # fmt: skip
                    self._try_way(role, event, way)
        if math.isfinite(self.until):
            return
        for event in list_events(self.app):  # last, since it changes everything
            ids = [row.example_id for row in self.store.find_examples().items]
            self.store.decide_examples(ids, state="accepted", decided_by="p_admin")
            for action in self.actions if event.takes_event else [""]:
                self._try_queue("admin", event, action)

    def _body(self, event: Event, action: str, session: str) -> dict[str, Any]:
        form = {"recipe": "balanced", "share": "0.2", "reason": "because I want it",
                "may_train": "1", "comment": "x", "text": ANSWER_TEXT}  # fmt: skip
        said = {"action": action, "id": "c-victim", "turn": str(self.turn_id), "version": "v0001",
                "share": 0.5, "vote": "left", "name": "state", "value": "",
                "text": "안녕하세요 반가워요", "example": 1, "form": form}  # fmt: skip
        return {
            "data": event.data, "event_data": said if event.takes_event else None,
            "fn_index": event.index, "trigger_id": event.trigger, "session_hash": session,
        }  # fmt: skip

    def _try_queue(self, role: str, event: Event, action: str) -> None:
        client, session = self.clients[role], f"door-{role}"
        base = f"{event.page}/gradio_api"

        def call() -> tuple[int, str]:
            joined = client.post(f"{base}/queue/join", json=self._body(event, action, session))
            if joined.status_code != 200:
                return joined.status_code, joined.text
            return 200, _follow(client, f"{base}/queue/data?session_hash={session}")

        self.try_one(role, f"{event.name} {action}".strip(), call)

    def _try_way(self, role: str, event: Event, way: str) -> None:
        path = f"{event.page}/gradio_api/{way}"
        body = self._body(event, "accept", "other")

        def call() -> tuple[int, str]:
            response = self.clients[role].post(path, json=body)
            if response.status_code not in CLOSED:
                self.found.leaked.append(f"{role} open: {path}")
            return response.status_code, response.text

        self.try_one(role, f"{path} {event.index}", call)

    # --- routes ---------------------------------------------------------------------------------

    def try_routes(self) -> None:
        """Every route with every method; and the studio's under other spellings of its name."""
        routes = sorted(set(list_routes(list(self.app.routes))))
        random.Random(8).shuffle(routes)
        for role in self.cookies:
            if role == "admin":
                continue
            for method, path in routes:
                if not (self.is_quick and role in PRETENDERS and not path.startswith("/studio")):
                    self._try_route(role, method, path)
        for prefix in PREFIXES:
            for _, path in routes:
                if path.startswith("/studio/gradio_api"):
                    self._try_route("chatter", "POST", prefix + path.removeprefix("/studio"))

    def _try_route(self, role: str, method: str, path: str) -> None:
        is_studio = path.startswith("/studio") and path not in ("/studio/login", "/studio/logout")
        has_role = role in ("curator", "admin")

        def call() -> tuple[int, str]:
            status, text = _knock(self.url, method, path, self.cookies[role])
            if is_studio and not has_role and status not in CLOSED:
                self.found.leaked.append(f"{role} {status} {method} {path}")
            is_gradio = "gradio_api" in path
            if is_gradio and not is_page_route(method, path) and status not in CLOSED:
                self.found.leaked.append(f"{role} {status} {method} {path}")
            return status, text

        self.try_one(role, f"{method} {path}", call)


def make_cookies(identity: Identity) -> dict[str, dict[str, str]]:
    """The roles, and some who pretend to have one."""
    other = Identity("another secret" * 8, identity.settings)
    curator = identity.log_in(CURATOR, "doors")
    ended = identity.log_in(ADMIN, "doors")
    identity.log_out(_Asked({SESSION_COOKIE: ended}))
    person = identity.new_person()[1]
    return {
        "anonymous": {},
        "chatter": {PERSON_COOKIE: person},
        "pretender": {PERSON_COOKIE: person, SESSION_COOKIE: person},
        "forger": {SESSION_COOKIE: other._new_session("admin")},
        "logged out": {SESSION_COOKIE: ended},
        "curator": {PERSON_COOKIE: identity.new_person()[1], SESSION_COOKIE: curator},
        "admin": {SESSION_COOKIE: identity.log_in(ADMIN, "doors")},
    }


@dataclass(frozen=True)
class _Asked:
    cookies: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)


def _dump(connection: Any, tables: list[str]) -> str:
    parts = []
    for table in tables:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        is_ones_own = "person_id" in columns and table != "examples"
        only = f"WHERE person_id = '{VICTIM}'" if is_ones_own else ""
        rows = connection.execute(f"SELECT * FROM {table} {only}").fetchall()
        parts.append(f"{table} {[tuple(row) for row in rows]}")
    return "\n".join(parts)


def _follow(client: httpx.Client, path: str) -> str:
    """What a page is sent until its event is over."""
    text = ""
    with client.stream("GET", path) as response:
        for piece in response.iter_bytes():
            text += piece.decode("utf-8", "replace")
            if "process_completed" in text or "close_stream" in text:
                break
    return text


def _knock(url: str, method: str, path: str, cookies: dict[str, str]) -> tuple[int, str]:
    """One request exactly as written; a stream is not read to its end."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": "x", "event_id": "x"})
    headers = {"cookie": cookie, "content-type": "application/json"}
    try:
        connection.request(method, path, None if method == "GET" else body, headers)
        response = connection.getresponse()
        is_stream = "event-stream" in response.headers.get("content-type", "")
        text = "" if is_stream else response.read(200_000).decode("utf-8", "replace")
        return response.status, text
    finally:
        connection.close()


def main(folder: Path, is_quick: bool, seconds: float) -> None:
    """Everything once, or as much of it as the time allows."""
    with FakeOpenAI() as fake, Store.open(folder / "data") as store:
        turn_id = add_victim(store)
        settings = Settings(
            data_dir=folder / "data", vllm_urls=(fake.url,), admin_password=ADMIN,
            curator_password=CURATOR, public_arena=True, min_examples=1,
        )  # fmt: skip
        with serve(settings, store) as (url, application, app):
            doors = Doors(url, application, app, turn_id, is_quick)
            doors.until = time.monotonic() + seconds
            doors.try_routes()
            doors.try_events()
            for client in doors.clients.values():
                client.close()
    found = doors.found
    print(
        json.dumps(
            {
                "entries_tried": found.num_tries,
                "entries_leaked": len(found.leaked),
                "leaked": found.leaked[:40],
                "broken": found.broken[:40],
                "num_events": len(list_events(app)),
                "num_routes": len(set(list_routes(list(app.routes)))),
                "effects": sorted(name for name, count in found.effects.items() if count),
            },
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="pretenders try less")
    parser.add_argument("--seconds", type=float, default=math.inf)
    options = parser.parse_args()
    main(options.folder, options.quick, options.seconds)
