"""HTTP over asyncio streams, against servers that send exactly what they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.engines.transport import Place, StreamTransport, render_head

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers every request with the same pieces of bytes, and counts what it sees."""

    def __init__(self, pieces: Sequence[bytes], *, closes: bool = False) -> None:
        self.pieces = list(pieces)
        self.closes = closes
        self.requests: list[bytes] = []
        self.num_connections = 0
        self.num_hung_up = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
                body = await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
                self.requests.append(head + body)
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.num_hung_up += 1
        finally:
            writer.close()


Run = Callable[..., object]


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(transport=StreamTransport(), base_url=server.url) as client:
        yield client
    listener.close()
    await asyncio.sleep(0)


def chunked(parts: Sequence[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    st.integers(1, 12),
    st.sampled_from([b"0\r\n\r\n", b"00\r\n\r\n", b"0;x=1\r\n\r\n", b"0\r\nTrailer: 1\r\n\r\n"]),
)
async def test_a_chunked_body_is_read_whole_however_it_is_cut(
    parts: list[bytes], size: int, end: bytes
) -> None:
    sent = chunked(parts, end)
    server = Server([sent[at : at + size] for at in range(0, len(sent), size)])
    async with running(server) as client:
        for _ in range(2):
            assert (await client.post("/x", content=b"hello")).content == b"".join(parts)
        assert server.num_connections == 1
        assert server.requests[0].startswith(b"POST /x HTTP/1.1\r\n")
        assert server.requests[0].endswith(b"\r\n\r\nhello")


async def test_bodies_with_a_length_and_bodies_until_the_end_are_read() -> None:
    for pieces, closes in (
        ([OK + b"Content-Length: 5\r\n\r\nhe", b"llo"], False),
        ([OK + b"\r\nhel", b"lo"], True),
        ([OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"], True),
    ):
        server = Server(pieces, closes=closes)
        async with running(server) as client:
            answers = [(await client.get("/")).text for _ in range(2)]
            assert answers == ["hello", "hello"]
            assert server.num_connections == (2 if closes else 1)


async def test_empty_answers_keep_the_connection() -> None:
    server = Server([OK + b"Content-Length: 0\r\n\r\n"])
    async with running(server) as client:
        for _ in range(3):
            assert (await client.get("/health")).content == b""
        assert server.num_connections == 1


async def test_pieces_come_as_they_are_sent() -> None:
    server = Server([CHUNKED, b"2\r\nab\r\n", b"2\r\ncd\r\n", b"0\r\n\r\n"])
    async with running(server) as client, client.stream("GET", "/") as response:
        pieces = [piece async for piece in response.aiter_raw()]
    assert b"".join(pieces) == b"abcd"


async def test_leaving_early_hangs_up() -> None:
    server = Server([CHUNKED, *[b"2\r\nab\r\n"] * 20_000])
    async with running(server) as client:
        async with client.stream("GET", "/") as response:
            async for _ in response.aiter_raw():
                break
        await asyncio.sleep(0.1)
        assert server.num_hung_up == 1


async def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    server = Server([OK + b"Content-Length: 2\r\n\r\nok"], closes=True)
    async with running(server) as client:
        for pause in (0.0, 0.0, 0.05):
            await asyncio.sleep(pause)
            assert (await client.post("/", content=b"x")).text == "ok"
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b""], httpx.RemoteProtocolError),
        ([b"HTTP/1.1 200"], httpx.RemoteProtocolError),
        ([b"hello\r\n\r\n"], httpx.RemoteProtocolError),
        ([b"SSH-2.0 200 x\r\n\r\n"], httpx.RemoteProtocolError),
        ([b"x" * 100_000], httpx.RemoteProtocolError),
        ([OK + b"Content-Length: 9\r\n\r\nabc"], httpx.RemoteProtocolError),
        ([CHUNKED + b"5\r\nab"], httpx.RemoteProtocolError),
        ([CHUNKED + b"5\r\nabcde\r\n"], httpx.RemoteProtocolError),
        ([CHUNKED + b"zz\r\nab\r\n"], httpx.RemoteProtocolError),
        ([CHUNKED + b"1" * 100], httpx.RemoteProtocolError),
    ],
)
async def test_broken_answers_are_errors_of_httpx(
    pieces: list[bytes], error: type[httpx.TransportError]
) -> None:
    async with running(Server(pieces, closes=True)) as client:
        with pytest.raises(error):
            await client.get("/")


async def test_no_server_is_a_connect_error() -> None:
    async with httpx.AsyncClient(transport=StreamTransport()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:9/")


@pytest.mark.parametrize("closes", [False, True])
async def test_a_head_rendered_once_is_sent_with_every_content(closes: bool) -> None:
    server = Server([OK + b"Content-Length: 2\r\n\r\nhi"], closes=closes)
    async with running(server) as client:
        request = client.build_request("POST", "/v1/x?y=1", headers={"Authorization": "Bearer z"})
        head = render_head(request, without=b"content-length")
        place = Place(request.url.copy_with(raw_path=b"/"), 5.0)
        transport = StreamTransport()
        for content in (b"one", b"", "둘".encode()):
            status, body = await transport.post(place, head, content)
            assert (status, b"".join([piece async for piece in body])) == (200, b"hi")
        await transport.aclose()
    sent = [request.split(b"\r\n\r\n") for request in server.requests]
    assert [content for _, content in sent] == [b"one", b"", "둘".encode()]
    for rendered, content in sent:
        lines = rendered.lower().split(b"\r\n")
        assert lines[0] == b"post /v1/x?y=1 http/1.1"
        assert b"authorization: bearer z" in lines
        assert [line for line in lines if b"content-length" in line] == [
            b"content-length: %d" % len(content)
        ]
    assert server.num_connections == (3 if closes else 1)
