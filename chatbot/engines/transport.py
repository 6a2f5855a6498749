"""HTTP/1.1 for httpx straight on asyncio streams.

A model server sends every token as a chunk of its own. httpx's usual transport spends about 60 µs
on each, more than all the rest of the way to the browser; this one spends about 15 µs. It knows
what a model server needs (no proxy, no redirect, no HTTP/2) and raises httpx's own errors.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

_READ_BYTES = 64 * 1024
_MAX_LINE_BYTES = 64  # of a chunk's size and its extensions


@dataclass(eq=False)
class _Connection:
    """One open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_fresh: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether the server still holds its end."""
        return not (self.reader.at_eof() or self.writer.is_closing())

    def close(self) -> None:
        """Drop it, whatever is still to come."""
        self.writer.close()


@dataclass(frozen=True)
class Place:
    """Where to connect, and how long that may take; None: for ever."""

    origin: httpx.URL
    connect_s: float | None


class StreamTransport(httpx.AsyncBaseTransport):
    """Keeps idle connections for the next request; opens as many as there are requests."""

    def __init__(self) -> None:
        self._idle: dict[httpx.URL, list[_Connection]] = {}
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; returns when the headers of the answer are there."""
        content = await request.aread()
        place = Place(
            request.url.copy_with(raw_path=b"/", fragment=None),
            request.extensions.get("timeout", {}).get("connect"),
        )
        status, headers, connection = await self._exchange(place, render_head(request) + content)
        body = Body(self, place.origin, connection, headers, has_body=request.method != "HEAD")
        return httpx.Response(status, headers=headers, stream=body)

    async def post(self, place: Place, head: bytes, content: bytes) -> tuple[int, Body]:
        """The same for a head that was rendered once, without its length: for every answer anew
        httpx would spend 100 µs on it.
        """
        length = b"content-length: %d\r\n\r\n" % len(content)
        message = head[:-2] + length + content
        status, headers, connection = await self._exchange(place, message)
        return status, Body(self, place.origin, connection, headers, has_body=True)

    async def _exchange(
        self, place: Place, message: bytes
    ) -> tuple[int, httpx.Headers, _Connection]:
        """Send everything; what came back before the body."""
        while True:
            connection = await self._connect(place)
            try:
                connection.writer.write(message)
                head = await _read_head(connection)
                if head:
                    return *_parse_head(head), connection
            except BaseException:
                connection.close()
                raise
            connection.close()  # the server had closed the kept one before our request came
            if connection.is_fresh:
                raise httpx.RemoteProtocolError("The server closed without an answer.")
            self._close_idle(place.origin)

    async def aclose(self) -> None:
        """Close the idle connections."""
        for origin in list(self._idle):
            self._close_idle(origin)

    def give_back(self, origin: httpx.URL, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        connection.is_fresh = False
        self._idle.setdefault(origin, []).append(connection)

    def _close_idle(self, origin: httpx.URL) -> None:
        for connection in self._idle.pop(origin, []):
            connection.close()

    async def _connect(self, place: Place) -> _Connection:
        origin = place.origin
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        if origin.scheme == "https":
            self._tls = self._tls or ssl.create_default_context()
        tls = self._tls if origin.scheme == "https" else None
        port = origin.port or (443 if tls else 80)
        try:
            async with asyncio.timeout(place.connect_s):
                return _Connection(*await asyncio.open_connection(origin.host, port, ssl=tls))
        except TimeoutError as error:
            raise httpx.ConnectTimeout("The server did not take the connection.") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error


def render_head(request: httpx.Request, *, without: bytes = b"") -> bytes:
    """The head of the request, with its end; without the header of that name."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    headers = request.headers.raw
    lines += [b"%s: %s" % pair for pair in headers if pair[0].lower() != without]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _read_head(connection: _Connection) -> bytes:
    """Status line and headers; nothing when the server closed before the first byte."""
    try:
        return await connection.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise httpx.RemoteProtocolError("The server closed in the headers.") from error
        return b""
    except asyncio.LimitOverrunError as error:
        raise httpx.RemoteProtocolError("The headers have no end.") from error
    except OSError as error:
        if not connection.is_fresh:
            return b""
        raise httpx.ReadError(str(error)) from error


def _parse_head(head: bytes) -> tuple[int, httpx.Headers]:
    first, *lines = head[:-4].split(b"\r\n")
    try:
        version, status, *_ = first.split(b" ", 2)
        pairs = [(name, value.strip()) for name, value in (line.split(b":", 1) for line in lines)]
        code = int(status)
    except ValueError as error:
        raise httpx.RemoteProtocolError("The answer is not HTTP.") from error
    if not version.startswith(b"HTTP/1."):
        raise httpx.RemoteProtocolError("The answer is not HTTP/1.1.")
    return code, httpx.Headers(pairs)


class Body(httpx.AsyncByteStream):
    """The body of one answer, given on as it comes."""

    def __init__(
        self,
        transport: StreamTransport,
        origin: httpx.URL,
        connection: _Connection,
        headers: httpx.Headers,
        *,
        has_body: bool,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._connection: _Connection | None = connection
        self._is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length", "") if has_body else "0"
        self._left = int(length) if length.isdecimal() else None
        self._is_kept = "close" not in headers.get("connection", "").lower()
        self._buffer = bytearray()
        self._in_chunk = 0  # bytes that the open chunk still lacks, its line end included

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces of any size."""
        if self._is_chunked:
            async for piece in self._read_chunks():
                yield piece
        elif self._left is not None:
            while self._left:
                piece = await self._read()
                self._left -= len(piece)
                yield piece
        else:
            self._is_kept = False
            while piece := await self._read(may_end=True):
                yield piece
        self._finish()

    async def aclose(self) -> None:
        """Hang up if the answer was not read to its end: the server stops generating."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _finish(self) -> None:
        if self._connection and self._is_kept:
            self._transport.give_back(self._origin, self._connection)
            self._connection = None

    async def _read(self, *, may_end: bool = False) -> bytes:
        assert self._connection
        try:
            piece = await self._connection.reader.read(_READ_BYTES)
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if not piece and not may_end:
            raise httpx.RemoteProtocolError("The server closed in the middle of the answer.")
        return piece

    async def _read_chunks(self) -> AsyncIterator[bytes]:
        is_last = False
        while not is_last:
            self._buffer += await self._read()
            piece, is_last = self._take_chunks()
            if piece:
                yield piece

    def _take_chunks(self) -> tuple[bytes, bool]:
        """(content that the buffer holds, whether the last chunk is through)."""
        content = bytearray()
        while True:
            if self._in_chunk:
                # The line end after the content is two bytes, which may come apart from it.
                taken = self._buffer[: self._in_chunk]
                content += taken[: max(0, self._in_chunk - 2)]
                del self._buffer[: len(taken)]
                self._in_chunk -= len(taken)
                if self._in_chunk:
                    return bytes(content), False
            size = self._take_size()
            if size is None:
                return bytes(content), False
            if size == 0:
                return bytes(content), True
            self._in_chunk = size + 2

    def _take_size(self) -> int | None:
        """The size of the next chunk; None: its line is not complete."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise httpx.RemoteProtocolError("A chunk has no size.")
            return None
        line = bytes(self._buffer[:end])
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise httpx.RemoteProtocolError("A chunk's size is no number.") from error
        if size == 0 and not self._buffer.startswith(b"\r\n", end + 2):
            return self._wait_for_trailers(end)
        del self._buffer[: end + (4 if size == 0 else 2)]
        return size

    def _wait_for_trailers(self, end: int) -> int | None:
        """The last chunk may be followed by trailers, which nobody here needs."""
        trailers_end = self._buffer.find(b"\r\n\r\n", end)
        if trailers_end < 0:
            return None
        del self._buffer[: trailers_end + 4]
        return 0
