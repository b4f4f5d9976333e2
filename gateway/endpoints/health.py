"""Health: ``live`` means the process answers, ``ready`` that it wants traffic."""

from __future__ import annotations

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


def _status(runtime: Runtime) -> str:
    return "draining" if runtime.draining else "ok"
