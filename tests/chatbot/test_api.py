"""The wire contract, to the letter."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.api import ApiSettings, build_api
from chatbot.engines.base import EngineError, EngineState
from chatbot.full_house import House
from chatbot.generation import PaceSettings
from chatbot.guards import GuardSettings, install_guards
from chatbot.identity import PERSON_COOKIE, SESSION_COOKIE, AccessSettings, Identity
from chatbot.limits import LimitSettings
from chatbot.metrics import Metrics
from chatbot.recommendation import from_dict, to_text
from chatbot.route_path import QUESTIONS_PREFIX
from chatbot.service import ChatService
from chatbot.wire import to_event
from feedback_store.store import Store
from tests.chatbot.conftest import QUICK, MakeService
from tests.chatbot.live_server import serve
from tests.scripted_engine import ANSWER, ANSWER_TEXT, Script, ScriptedEngine

BASE = f"{QUESTIONS_PREFIX}base-info"
FREE = f"{QUESTIONS_PREFIX}free-text"
INFO = {"sessionId": "s1", "location": "바닷가", "workType": "영업직", "category": "플로깅"}
TALK = {"sessionId": "s1", "message": "바다에서 할 일을 알려줘"}
HERE = {"host": "localhost:7860"}  # as a browser on this machine asks
EVENT_SOURCE = {"accept": "text/event-stream"}
CLOSE = {
    "status": 200,
    "message": "모든 챌린지 추천 완료",
    "data": {
        "recommend": ANSWER["recommend"],
        "challenges": [{**entry, "category": "PLOGGING"} for entry in ANSWER["challenges"]],  # type: ignore[dict-item]
    },
}

Ask = Callable[..., Any]


def build_app(
    service: ChatService,
    guards: GuardSettings | None = None,
    access: AccessSettings | None = None,
    **api: Any,
) -> FastAPI:
    identity = Identity("s" * 64, access or AccessSettings())
    app = FastAPI(title="ecoloop", docs_url=None, redoc_url=None)
    metrics = Metrics(service)
    house = House(service.limits.is_full, metrics.count_request)
    install_guards(app, identity, guards, house)
    app.include_router(build_api(service, identity, metrics, ApiSettings(**api)))
    app.state.identity = identity
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")


@pytest.fixture
async def client(make_service: MakeService) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(build_app(make_service())) as opened:
        yield opened


def parse_events(text: str) -> list[tuple[str, Any]]:
    """(event, data) as a browser reads them; every data must parse, every event has both."""
    found = []
    for block in text.split("\n\n")[:-1]:
        if block.startswith(":"):
            assert block == ": keep-alive"
            continue
        match = re.fullmatch(r"event: (\w+)\ndata: (.*)", block)
        assert match, block
        assert len(block.splitlines()) == 2
        found.append((match[1], json.loads(match[2])))
    assert text.endswith("\n\n")
    return found


async def events_of(client: httpx.AsyncClient, path: str, params: Any) -> list[tuple[str, Any]]:
    return parse_events((await client.get(path, params=params)).text)


@pytest.mark.parametrize("params", [INFO, {**INFO, "location": "beach", "workType": "SALES"}])
async def test_the_stream_is_pieces_of_readable_text_and_one_close(
    client: httpx.AsyncClient, params: dict[str, str]
) -> None:
    response = await client.get(BASE, params=params)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-cache" in response.headers["cache-control"]
    events = parse_events(response.text)
    *pieces, (last, close) = events
    assert {name for name, _ in pieces} == {"challenge"}
    assert all(set(data) == {"status", "message", "data"} for _, data in pieces)
    assert all((d["status"], d["message"]) == (200, "토큰 생성") for _, d in pieces)
    assert "".join(data["data"] for _, data in pieces) == to_text(from_dict(ANSWER))
    assert (last, close) == ("close", CLOSE)


async def test_the_alias_of_the_front_end_is_understood(client: httpx.AsyncClient) -> None:
    events = await events_of(client, BASE, {**INFO, "category": "UPCYCLE"})
    assert {entry["category"] for entry in events[-1][1]["data"]["challenges"]} == {"UPCYCLING"}


async def test_free_text_follows_the_talk_of_the_session(
    make_service: MakeService, store: Store
) -> None:
    service = make_service()
    async with client_of(build_app(service)) as client:
        went = []
        for message in (TALK["message"], "전기요금 줄이는 법", "원래대로 해줘", "How about vegan?"):
            events = await events_of(client, FREE, {**TALK, "message": message})
            went.append(events[-1][1]["data"]["challenges"][0]["category"])
    assert went == ["ZERO_WASTE", "ENERGY_SAVING", "ZERO_WASTE", "VEGAN"]
    assert isinstance(service.engine, ScriptedEngine)
    assert [len(call.messages) for call in service.engine.calls] == [2, 4, 6, 8]


async def test_post_answers_once(client: httpx.AsyncClient) -> None:
    response = await client.post(BASE, json=INFO)
    assert (response.status_code, response.json()) == (200, CLOSE)
    assert (await client.post(FREE, json={**TALK, "sessionId": 17})).status_code == 200


BAD: list[tuple[str, dict[str, Any], int, list[str] | None]] = [
    (BASE, {}, 400, ["sessionId", "location", "workType", "category"]),
    (BASE, {**INFO, "category": ""}, 400, ["category"]),
    (BASE, {**INFO, "category": "우주"}, 400, ["category"]),
    (BASE, {**INFO, "location": "moon", "workType": "x"}, 400, ["location", "workType"]),
    (BASE, {**INFO, "sessionId": " "}, 400, ["sessionId"]),
    (BASE, {**INFO, "sessionId": "x" * 201}, 400, ["sessionId"]),
    (FREE, {"sessionId": "s"}, 400, ["message"]),
    (FREE, {"message": "안녕하세요"}, 400, ["sessionId"]),
    (FREE, {**TALK, "message": "네 네"}, 422, ["message"]),
    (FREE, {**TALK, "message": "  가나다라   "}, 422, ["message"]),
    (FREE, {**TALK, "message": "x" * 8001}, 422, ["message"]),
]


@pytest.mark.parametrize(("path", "fields", "status", "names"), BAD)
async def test_bad_input_names_its_fields_in_every_form(
    client: httpx.AsyncClient, path: str, fields: dict[str, Any], status: int, names: list[str]
) -> None:
    posted = await client.post(path, json=fields)
    plain = await client.get(path, params=fields)
    streamed = await client.get(path, params=fields, headers=EVENT_SOURCE)
    assert [posted.status_code, plain.status_code, streamed.status_code] == [status, status, 200]
    [(name, data)] = parse_events(plain.text)
    assert name == "error"
    assert data == posted.json() == parse_events(streamed.text)[0][1]
    assert set(data) == {"status", "message", "data", "invalidFields"}
    assert (data["status"], data["data"], data["invalidFields"]) == (status, None, names)
    assert re.search("[가-힣]", data["message"])


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", ["body"]),
        (b"{", ["body"]),
        (b"[]", ["body"]),
        (b'"text"', ["body"]),
        (b"\xff\xfe", ["body"]),
        (b"[" * 50_000, ["body"]),
        (json.dumps({**INFO, "userId": 5, "x": 1}).encode(), ["userId", "x"]),
        (json.dumps({**INFO, "location": 5}).encode(), ["location"]),
        (json.dumps({**INFO, "category": None}).encode(), ["category"]),
        (json.dumps({**INFO, "category": ["플로깅"]}).encode(), ["category"]),
        (json.dumps({**INFO, "sessionId": True}).encode(), ["sessionId"]),
        (b'{"\\ud800": 1}', ["\ufffd"]),
    ],
)
async def test_a_malformed_body_is_400_with_the_field(
    client: httpx.AsyncClient, body: bytes, names: list[str]
) -> None:
    response = await client.post(BASE, content=body)
    assert response.status_code == 400
    assert response.json()["invalidFields"] == names


async def test_a_body_over_64_kb_is_413_in_the_same_envelope(client: httpx.AsyncClient) -> None:
    response = await client.post(FREE, json={**TALK, "message": "x" * 70_000})
    assert response.status_code == 413
    assert response.json()["invalidFields"] == ["body"]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (Script(text=ANSWER_TEXT[:90], finish_reason="length"), 502),
        (Script(text=ANSWER_TEXT[:90], error=EngineError("died", "It died.")), 503),
        (Script(text=ANSWER_TEXT[:90], hangs=True), 504),
        (Script(text="그냥 말이에요"), 502),
        (Script(text="", error=EngineError("refused", "No.")), 502),
        (Script(text="", error=EngineError("too_long", "Too long.")), 422),
    ],
)
async def test_a_failed_answer_ends_in_one_error_instead_of_close(
    make_service: MakeService, script: Script, status: int
) -> None:
    async with client_of(build_app(make_service(script))) as client:
        events = await events_of(client, BASE, INFO)
        posted = await client.post(BASE, json=INFO)
    assert [name for name, _ in events[:-1]] == ["challenge"] * (len(events) - 1)
    assert events[-1][0] == "error"
    assert events[-1][1] == posted.json()
    assert (posted.status_code, posted.json()["status"]) == (status, status)
    assert posted.json()["data"] is None


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("path", "asked"), [(BASE, INFO), (FREE, TALK)])
async def test_an_engine_that_starts_again_is_503_with_a_time_to_come_again(
    make_service: MakeService, method: str, path: str, asked: dict[str, str]
) -> None:
    service = make_service()
    engine = service.engine
    assert isinstance(engine, ScriptedEngine)
    given: dict[str, Any] = {"params": asked} if method == "GET" else {"json": asked}
    async with client_of(build_app(service)) as client:
        engine.state, engine.detail = "starting", "Loading weights."
        response = await client.request(method, path, **given)
        told = (await client.get("/health", headers=HERE)).json()
        engine.state, engine.detail = "ready", "It answers."
        again = await client.request(method, path, **given)
        after = (await client.get("/health", headers=HERE)).json()
    assert (response.status_code, int(response.headers["retry-after"]) >= 1) == (503, True)
    assert "모델을 준비하고 있어요" in response.text
    assert (told["status"], told["engine"], told["why"]) == (
        "warming",
        "starting",
        "Loading weights.",
    )
    assert (again.status_code, after["status"]) == (200, "ready")


async def test_an_event_source_reads_that_the_model_warms_up(make_service: MakeService) -> None:
    service = make_service()
    assert isinstance(service.engine, ScriptedEngine)
    service.engine.state = "starting"
    async with client_of(build_app(service)) as client:
        response = await client.get(FREE, params=TALK, headers=EVENT_SOURCE)
    assert response.status_code == 200
    [(name, told)] = parse_events(response.text)
    assert (name, told["status"]) == ("error", 503)


async def test_an_engine_that_sleeps_for_a_training_is_503_and_says_so(
    make_service: MakeService,
) -> None:
    service = make_service()
    await service.engine.sleep()
    async with client_of(build_app(service)) as client:
        response = await client.get(BASE, params=INFO)
        health = (await client.get("/health", headers=HERE)).json()
    assert response.status_code == 503
    assert (health["status"], health["why"]) == ("asleep", "The scripted engine sleeps.")


async def why_of(app: FastAPI, **headers: str) -> str:
    async with client_of(app) as client:
        return str((await client.get("/health", headers=headers)).json()["why"])


@pytest.mark.parametrize("state", get_args(EngineState))
async def test_strangers_do_not_read_the_words_of_the_engine(
    make_service: MakeService, state: EngineState
) -> None:
    service = make_service()
    service.engine.state, service.engine.detail = state, "/srv/eco/v0003 has no manifest.json."
    app = build_app(service)
    assert await why_of(app, **HERE) == "/srv/eco/v0003 has no manifest.json."
    for headers in (
        {},
        {**HERE, "x-forwarded-for": "203.0.113.7"},
        {**HERE, "origin": "https://evil.example"},
    ):
        why = await why_of(app, **headers)
        assert why.endswith(".")
        assert "/srv" not in why


async def test_where_there_is_a_login_only_a_session_reads_the_words_of_the_engine(
    make_service: MakeService,
) -> None:
    service = make_service()
    service.engine.state, service.engine.detail = "degraded", "/srv/eco/v0003 has no manifest.json."
    access = AccessSettings(is_login_required=True, admin_password_hash="unused")
    app = build_app(service, access=access)
    identity = app.state.identity
    session = identity.redeem_token(identity.new_token())
    public = "The service runs in part."
    assert await why_of(app, **HERE) == public
    assert await why_of(app, cookie=f"{SESSION_COOKIE}=x{session}") == public
    assert "/srv/eco" in await why_of(app, cookie=f"{SESSION_COOKIE}={session}")


async def test_a_limit_is_429_with_a_time_to_come_again(make_service: MakeService) -> None:
    service = make_service(limits=LimitSettings(num_per_minute=2))
    async with client_of(build_app(service)) as client:
        codes = [(await client.post(BASE, json=INFO)).status_code for _ in range(3)]
        other = await client.post(BASE, json={**INFO, "sessionId": "s2"})
        refused = await client.get(BASE, params=INFO)
    assert codes == [200, 200, 429]
    assert other.status_code == 200
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_sessions_of_different_people_never_meet(
    make_service: MakeService, store: Store
) -> None:
    app = build_app(make_service())
    people = [app.state.identity.new_person() for _ in range(2)]
    async with client_of(app) as client:
        for headers in (
            {},
            {"cookie": f"{PERSON_COOKIE}={people[0][1]}"},
            {"cookie": f"{PERSON_COOKIE}={people[1][1]}"},
            {"cookie": f"{PERSON_COOKIE}={people[1][1]}x"},
        ):
            await client.post(BASE, json=INFO, headers=headers)
        response = await client.get(BASE, params=INFO)
    assert "set-cookie" not in response.headers
    for person_id, _ in people:
        [conversation] = store.list_conversations(person_id)
        assert len(store.list_turns(conversation.conversation_id)) == 1


async def test_cors_is_only_for_the_api_and_only_for_the_named_origins(
    make_service: MakeService,
) -> None:
    guards = GuardSettings(cors_origins=("https://app.example",))
    async with client_of(build_app(make_service(), guards)) as client:
        named = await client.get(BASE, params=INFO, headers={"origin": "https://app.example"})
        other = await client.get(BASE, params=INFO, headers={"origin": "https://evil.example"})
        health = await client.get("/health", headers={"origin": "https://app.example"})
        preflight = await client.options(
            FREE,
            headers={
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            },
        )
    assert named.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in health.headers
    assert preflight.status_code == 200


async def test_health_and_metrics_tell_what_happened(make_service: MakeService) -> None:
    async with client_of(build_app(make_service())) as client:
        await client.get(BASE, params=INFO)
        await client.post(FREE, json={**TALK, "message": "네"})
        health = (await client.get("/health")).json()
        metrics = await client.get("/metrics")
    assert (health["status"], health["adapter"], health["answers_running"]) == ("ready", None, 0)
    assert metrics.headers["content-type"].startswith("text/plain")
    for line in (
        'ecoloop_answers_total{adapter="base",status="ok"} 1.0',
        'ecoloop_api_requests_total{method="GET",route="base-info",status="200"} 1.0',
        'ecoloop_api_requests_total{method="POST",route="free-text",status="422"} 1.0',
        'ecoloop_tokens_total{kind="prompt"} 20.0',
        "ecoloop_time_to_first_token_seconds_count 1.0",
        "ecoloop_engine_ready 1.0",
        "ecoloop_answers_running 0.0",
    ):
        assert line in metrics.text


async def test_who_is_turned_away_at_the_door_is_counted_too(make_service: MakeService) -> None:
    service = make_service(Script(hangs=True), limits=LimitSettings(num_streams=1))
    with service.limits.answering("somebody"):
        async with client_of(build_app(service)) as client:
            told = await client.get(BASE, params=INFO)
            event = await client.get(BASE, params=INFO, headers={"accept": "text/event-stream"})
            posted = await client.post(FREE, json=TALK)
            unknown = await client.post(f"{QUESTIONS_PREFIX}other", json=TALK)
            metrics = (await client.get("/metrics")).text
    statuses = [answer.status_code for answer in (told, event, posted, unknown)]
    assert statuses == [429, 200, 429, 404]
    assert posted.json()["message"] == parse_events(event.text)[0][1]["message"]
    assert 'requests_total{method="GET",route="base-info",status="429"} 2.0' in metrics
    assert 'requests_total{method="POST",route="free-text",status="429"} 1.0' in metrics


async def test_the_docs_need_nothing_from_outside_and_show_examples(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/docs")).text
    openapi = (await client.get("/openapi.json")).json()
    assert "event: challenge" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert set(openapi["paths"]) == {BASE, FREE, "/health", "/metrics"}
    for path in (BASE, FREE):
        assert {"200", "400", "422", "429"} <= set(openapi["paths"][path]["get"]["responses"])


async def test_silence_is_filled_with_comments(make_service: MakeService) -> None:
    service = make_service(Script(first_token_s=0.25))
    async with client_of(build_app(service, keep_alive_s=0.05)) as client:
        text = (await client.get(BASE, params=INFO)).text
    assert text.startswith(": keep-alive\n\n: keep-alive\n\n")
    assert parse_events(text)[-1][0] == "close"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_that_leaves_stops_the_generation(
    make_service: MakeService, store: Store, method: str
) -> None:
    script = Script(text=ANSWER_TEXT[:60], tokens_per_s=200, hangs=True)
    service = make_service(script, pace=PaceSettings())
    app = build_app(service)
    assert isinstance(service.engine, ScriptedEngine)
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        content = {"params": INFO} if method == "GET" else {"json": INFO}
        with pytest.raises(httpx.ReadTimeout):
            await client.request(method, BASE, timeout=0.4, **content)  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert service.engine.num_running == 0
        assert service.limits.num_running == 0
        metrics = (await client.get("/metrics")).text
    await service.close()
    assert 'status="stopped"} 1.0' in metrics
    assert f'method="{method}",route="base-info",status="499"}} 1.0' in metrics


async def test_pieces_arrive_one_by_one_over_a_real_socket(make_service: MakeService) -> None:
    service = make_service(Script(tokens_per_s=100), pace=PaceSettings())
    loop = asyncio.get_running_loop()
    arrived = []
    async with serve(build_app(service)) as url, httpx.AsyncClient(base_url=url) as client:  # noqa: SIM117
        async with client.stream("GET", BASE, params=INFO) as response:
            async for _ in response.aiter_raw():
                arrived.append(loop.time())
    assert len(arrived) > 5
    assert arrived[-1] - arrived[0] > 0.2


@given(st.text(max_size=200))
def test_every_event_is_two_lines_for_every_kind_of_reader(text: str) -> None:
    event = to_event("challenge", {"data": text}).decode()
    assert event.count("\n") == 3
    assert len(event.splitlines()) == 3
    data = event.split("\n")[1].removeprefix("data: ")
    assert json.loads(data)["data"] == text.encode("utf-8", "replace").decode()


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = ["sessionId", "location", "workType", "category", "message"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), ANY_JSON, max_size=5),
    st.sampled_from([BASE, FREE]),
)
async def test_no_input_makes_a_5xx(
    client: httpx.AsyncClient, fields: dict[str, Any], path: str
) -> None:
    posted = await client.post(path, content=json.dumps(fields))
    got = await client.get(
        path, params={k: str(v).encode("utf-8", "replace") for k, v in fields.items()}
    )
    for response in (posted, got):
        assert response.status_code in (200, 400, 413, 422)
        if response.status_code != 200 and response.request.method == "POST":
            assert set(response.json()) == {"status", "message", "data", "invalidFields"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_schemathesis_finds_no_server_error(store: Store, mode: str) -> None:
    import schemathesis
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )
    from starlette.testclient import TestClient

    from chatbot.service import ChatSettings

    engine = ScriptedEngine([Script()], keeps_calls=False)
    limits = LimitSettings(num_streams=1000, num_at_once=1000, num_per_minute=10**6)
    service = ChatService(store, engine, lambda: None, ChatSettings(pace=QUICK, limits=limits))
    app = build_app(service)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    checks = [content_type_conformance, response_schema_conformance, status_code_conformance]
    with TestClient(app) as session:
        for found in schema.include(path_regex="^/ai/").get_all_operations():
            cases = found.ok().as_strategy(schemathesis.GenerationMode[mode])  # type: ignore[union-attr]

            @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=cases)
            def run(case: Any) -> None:
                response = case.call(session=session)
                assert response.status_code < 500
                case.validate_response(response, checks=checks)

            run()
