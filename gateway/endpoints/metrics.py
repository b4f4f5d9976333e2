"""``GET /metrics``: Prometheus text, rendered in slices so that no request waits long for a scrape."""

from __future__ import annotations

import asyncio

from gateway.catalog import endpoints
from gateway.contracts import PageAnswer
from gateway.snapshot import Runtime
from gateway.telemetry.exposition import CONTENT_TYPE, render_slices


@endpoints.register("metrics")
class Metrics:
    """Everything that is counted."""

    paths = ("/metrics",)

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer:
        slices: list[bytes] = []
        for part in render_slices(runtime.scrape):
            slices.append(part)
            await asyncio.sleep(0)
        return PageAnswer(200, b"".join(slices), CONTENT_TYPE)
