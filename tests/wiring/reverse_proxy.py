"""A small reverse proxy as nginx is configured in assets/deploy/nginx.conf: it takes a sub-path
off, says who the client is and that they came by https, and passes streams on as they come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "x-test-client"}
OURS = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}


class _Proxy(BaseHTTPRequestHandler):
    target = ""
    sub_path = ""

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        place = urlsplit(self.target)
        upstream = HTTPConnection(str(place.hostname), place.port, timeout=30)
        sent = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in HOP_BY_HOP | OURS
        }
        # Tests come from many places: they name theirs, as a real proxy sees it by itself.
        sent["X-Forwarded-For"] = self.headers.get("x-test-client", self.client_address[0])
        sent["X-Forwarded-Proto"] = "https"
        sent["X-Forwarded-Host"] = self.headers["host"]
        body = self.rfile.read(int(self.headers.get("content-length") or 0)) or None
        upstream.request(self.command, self.path.removeprefix(self.sub_path), body, sent)
        response = upstream.getresponse()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(HTTPException, OSError):  # either side may go in the middle
            while piece := response.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
        upstream.close()


@contextmanager
def proxying(target: str, sub_path: str) -> Iterator[str]:
    """The address of the application below sub_path, as its clients see it."""
    handler = type("Proxy", (_Proxy,), {"target": target, "sub_path": sub_path})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{sub_path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
