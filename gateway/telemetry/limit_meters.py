"""How full the machine's table of limits is, and what happens in it.

Rows are read before a scrape and are the same whoever reads them. Events are added where they happen: each worker's
own column, so that they stay monotonic over its death.
"""

from __future__ import annotations

from gateway._fast import LimitTable
from gateway.telemetry.meters import Meters

EVENTS = ("evicted", "refused_full", "admitted_full", "busy", "repaired")


class LimitMeters:
    """Two families. A row is used from its first key on; one that is as good as new is given to the next key."""

    def __init__(self, meters: Meters, limits: LimitTable) -> None:
        self._limits = limits
        rows = meters.gauge(
            "llm_gateway_limit_table_rows", "Rows of the table of limits, used and free.", ("what",), across="one"
        )
        events = meters.counter(
            "llm_gateway_limit_table_events_total",
            "Keys evicted, refused or let pass uncounted for want of a row, waits in vain, and repairs after a crash.",
            ("event",),
        )
        self._used, self._free = rows.cell("used"), rows.cell("free")
        limits.tell({event: events.cell(event) for event in EVENTS})
        meters.before_scrape(self.read)

    def read(self) -> None:
        usage = self._limits.usage()
        self._used.set(usage["used"])
        self._free.set(usage["rows"] - usage["used"])
