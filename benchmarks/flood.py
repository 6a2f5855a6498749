"""Many connections at once, by one thread on bare sockets: who is served, and when the others are
told that there is no place.
"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

PATH = "/ai/chatbot/recommendation/free-text"


@dataclass
class Caller:
    """One connection and what it was told; times in seconds since its request was sent."""

    sent_at: float = 0.0
    first_s: float | None = None
    received: bytes = b""

    @property
    def status(self) -> int:
        """The status of the answer; 0: none came."""
        head = self.received[9:12]
        return int(head) if head.isdigit() else 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come: the end of a stream, or one event of a refusal."""
        is_refusal = self.status == 429 and self.received.endswith(b"\n\n")
        return is_refusal or self.received.endswith(b"0\r\n\r\n")

    @property
    def is_served(self) -> bool:
        """Whether the whole answer came."""
        return b"event: close" in self.received


@dataclass
class Flood:
    """What all of them were told."""

    callers: list[Caller] = field(default_factory=list)

    @property
    def num_served(self) -> int:
        """Whole answers."""
        return sum(caller.is_served for caller in self.callers)

    @property
    def refused(self) -> list[Caller]:
        """Those who were told to come again."""
        return [caller for caller in self.callers if caller.status == 429]

    def refused_ms(self, share: float) -> float:
        """The time in which this share of the refused was told."""
        times = sorted(caller.first_s or 0.0 for caller in self.refused)
        return times[min(len(times) - 1, int(share * len(times)))] * 1000 if times else 0.0


def run_flood(host: str, port: int, num: int, timeout_s: float = 60.0) -> Flood:
    """Connect all, then ask all at once, each as somebody else."""
    flood = Flood()
    picker = selectors.DefaultSelector()
    sockets = []
    for _ in range(num):
        opened = socket.create_connection((host, port), timeout=10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        sockets.append(opened)
    time.sleep(1.0)  # all are accepted
    message = quote("산에서 할 만한 일을 알려 주세요")
    for number, opened in enumerate(sockets):
        caller = Caller(time.perf_counter())
        flood.callers.append(caller)
        request = (
            f"GET {PATH}?sessionId=f{number}&message={message} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        )
        opened.send(request.encode())
        picker.register(opened, selectors.EVENT_READ, caller)
    _listen(picker, timeout_s)
    for opened in sockets:
        opened.close()
    return flood


def _listen(picker: selectors.BaseSelector, timeout_s: float) -> None:
    until = time.perf_counter() + timeout_s
    while picker.get_map() and time.perf_counter() < until:
        for key, _ in picker.select(timeout=0.5):
            caller: Caller = key.data
            try:
                piece = key.fileobj.recv(65536)  # type: ignore[union-attr]
            except BlockingIOError:
                continue
            except OSError:
                piece = b""
            if caller.first_s is None:
                caller.first_s = time.perf_counter() - caller.sent_at
            caller.received += piece
            if not piece or caller.is_over:
                picker.unregister(key.fileobj)


def draw_flood(flood: Flood, path: Path) -> None:
    """How soon the refused were told, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    times = sorted((caller.first_s or 0.0) * 1000 for caller in flood.refused)
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(times, [100 * (n + 1) / len(times) for n in range(len(times))], color="#1f7a50")
    axes.axvline(100, color="#8a1c10", linestyle="--", linewidth=1)
    axes.set(
        xlabel="ms from the request to the refusal (dashed: the promise)",
        ylabel="% of the refused",
        title=f"{len(flood.callers):,} connections at once: {flood.num_served} served, "
        f"{len(times)} told that there is no place",
    )
    axes.set_xlim(left=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)
