"""Health: ``live`` means the process answers, ``ready`` that it wants traffic.

Whichever worker answers speaks for itself (``worker``, ``generation``) and shows all of them, as the roster in shared
memory has them. While a reload is under way their generations differ.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson

from gateway import __version__
from gateway.catalog import endpoints
from gateway.contracts import PageAnswer
from gateway.snapshot import Runtime


@endpoints.register("health")
class Health:
    """All there is to know at a glance; 503 while draining, as for ``ready``."""

    paths = ("/health",)

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer:
        state = {
            "status": _status(runtime),
            "version": __version__,
            "lane": runtime.lane,
            "generation": runtime.snapshot.generation,
            "models": len(runtime.snapshot.plans),
            "worker": runtime.slot,
            "workers": list(_workers(runtime)),
        }
        return PageAnswer(503 if runtime.draining else 200, orjson.dumps(state))


@endpoints.register("health_live")
class Live:
    """200 as long as the loop turns, draining or not."""

    paths = ("/health/live", "/live")

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer:
        return PageAnswer(200, orjson.dumps({"status": "ok"}))


@endpoints.register("health_ready")
class Ready:
    """503 as soon as a drain begins, so that load balancers turn away first."""

    paths = ("/health/ready", "/ready")

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer:
        return PageAnswer(503 if runtime.draining else 200, orjson.dumps({"status": _status(runtime)}))


def _workers(runtime: Runtime) -> Iterator[dict[str, Any]]:
    now = time.monotonic_ns()
    for row in runtime.roster.rows() if runtime.roster is not None else ():
        yield {
            "worker": row.slot,
            "pid": row.pid,
            "state": row.state.name.lower(),
            "generation": row.generation,
            "uptime_seconds": round(max(0, now - row.started) / 1e9, 3),
        }


def _status(runtime: Runtime) -> str:
    return "draining" if runtime.draining else "ok"
