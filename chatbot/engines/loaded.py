"""Which adapters an engine has, and the answers that each is giving now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chatbot.engines.base import AdapterRef, EngineError, Probe
from chatbot.engines.in_flight import InFlight


@dataclass
class LoadedAdapter:
    """An adapter that was proved."""

    ref: AdapterRef
    probe: Probe
    in_flight: InFlight = field(default_factory=InFlight)
    is_leaving: bool = False


class LoadedAdapters:
    """Adapters by name. A name that is leaving takes no new answers."""

    def __init__(self) -> None:
        self._by_name: dict[str, LoadedAdapter] = {}
        self.lost: dict[str, str] = {}  # those a restart could not bring back, and why

    def refs(self) -> tuple[AdapterRef, ...]:
        """All that answer now."""
        return tuple(item.ref for item in self._by_name.values() if not item.is_leaving)

    def all(self) -> tuple[LoadedAdapter, ...]:
        """All that are there, also those that leave."""
        return tuple(self._by_name.values())

    def find(self, ref: AdapterRef) -> LoadedAdapter | None:
        """The same adapter, if it is there; raises EngineError when its name is taken."""
        known = self._by_name.get(ref.name)
        if known and known.ref.path == ref.path and not known.is_leaving:
            return known
        if known or ref.name == "base":
            raise EngineError(
                "bad_adapter",
                f"The name {ref.name} is taken. An adapter's name is never used again; publish a "
                "new version.",
            )
        return None

    def add(self, ref: AdapterRef, probe: Probe) -> None:
        """It is loaded and proved."""
        self._by_name[ref.name] = LoadedAdapter(ref, probe)
        self.lost.pop(ref.name, None)

    def drop(self, name: str, reason: str = "") -> None:
        """It is gone; with a reason, it was lost."""
        self._by_name.pop(name, None)
        if reason:
            self.lost[name] = reason

    @contextmanager
    def answering(self, name: str | None) -> Iterator[None]:
        """Hold the adapter during one answer; raises EngineError (unknown_adapter)."""
        if name is None:
            yield
            return
        known = self._by_name.get(name)
        if not known or known.is_leaving:
            reason = self.lost.get(name, f"Adapter {name} is not loaded.")
            raise EngineError("unknown_adapter", reason)
        with known.in_flight.hold():
            yield

    async def wait_idle(self, name: str) -> bool:
        """Take no new answers and wait for those in flight; False if there is no such adapter.

        Whoever was told True drops it, whatever becomes of the unloading: a name that leaves for
        ever could neither answer nor be loaded again.
        """
        known = self._by_name.get(name)
        if not known:
            return False
        known.is_leaving = True
        try:
            await known.in_flight.wait_idle()
        except BaseException:
            known.is_leaving = False
            raise
        return self._by_name.get(name) is known
