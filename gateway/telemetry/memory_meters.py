"""How full the shared memory is, as any process sees it before a scrape."""

from __future__ import annotations

from gateway.telemetry.meters import Meters


class MemoryMeters:
    """Two families. ``taken`` is address space that has a name; memory is used only where it was touched."""

    def __init__(self, meters: Meters) -> None:
        self._arena = meters.arena
        bytes_ = meters.gauge(
            "llm_gateway_shared_memory_bytes",
            "Shared memory of all workers: reserved in all, taken by names, and free for more.",
            ("what",),
            across="one",
        )
        self._bytes = {what: bytes_.cell(what) for what in ("reserved", "taken", "free")}
        self._entries = meters.gauge(
            "llm_gateway_shared_memory_entries", "Names in the shared memory.", across="one"
        ).cell()
        meters.before_scrape(self.read)

    def read(self) -> None:
        usage = self._arena.usage()
        for what, cell in self._bytes.items():
            cell.set(usage[what])
        self._entries.set(usage["entries"])
