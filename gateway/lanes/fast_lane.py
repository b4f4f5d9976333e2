"""The fast lane: compiled connections, whose requests become exchanges, or go to the control plane.

A request for a provider becomes an `Exchange` and one task that takes it through the pipeline; it is itself the body
to read and the reply to answer through. Everything else is the control plane's.

A client that leaves is cancelled here; who ended it is written down before. A task that is cancelled before its first
step never runs, and nothing would be settled or logged: such a task is left alone, it finds out by itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Mapping

from gateway import errors
from gateway._fast import ClientConnection, ReplyHeads, Request
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.lanes.aiohttp_lane import SERVER
from gateway.lanes.control_plane import ControlPlane
from gateway.lanes.fast_body import read_body
from gateway.lanes.generations import Generations
from gateway.pipeline import handle
from gateway.snapshot import Runtime
from gateway.telemetry.request_id import correlation_id, request_id

SWEEP = 1.0  # seconds between two looks at all connections

log = logging.getLogger("gateway")


class FastLane:
    """Makes the connections and answers their requests."""

    def __init__(
        self,
        runtime: Runtime,
        generations: Generations,
        control_plane: ControlPlane,
        *,
        keepalive_timeout: float,
        header_timeout: float,
    ) -> None:
        self.heads = ReplyHeads(server=SERVER)
        self.connections: set[ClientConnection] = set()
        self._runtime = runtime
        self._generations = generations
        self._control_plane = control_plane
        self._loop = asyncio.get_running_loop()
        self._running: dict[Request, Exchange] = {}
        self.change(keepalive_timeout=keepalive_timeout, header_timeout=header_timeout)
        self._sweeping = self._loop.call_later(SWEEP, self._sweep)

    def __call__(self) -> ClientConnection:
        """For a connection that has been accepted."""
        return ClientConnection(self)

    def change(self, *, keepalive_timeout: float, header_timeout: float) -> None:
        """From now on."""
        self._keepalive_timeout = keepalive_timeout
        self._header_timeout = header_timeout

    # --- what a connection asks of its lane ---------------------------------------------------------------

    @property
    def leaving(self) -> bool:
        """Every answer asks its client to come back on another connection."""
        return self._runtime.leaving

    def begin(self, request: Request) -> None:
        """It is this request's turn."""
        runtime = self._runtime
        snapshot = runtime.snapshot
        endpoint = snapshot.endpoints.get(request.path)
        if endpoint is None or request.method != "POST":
            request.limit = 0  # nobody wants its body
            request.task = self._loop.create_task(self._control_plane.forward(request))
            return
        request.limit = snapshot.limits.max_body
        headers = request.headers
        exchange = Exchange(
            id=request_id(headers.get("x-request-id")),
            correlation_id=correlation_id(headers.get("x-correlation-id")),
            method="POST",
            path=endpoint.path,
            endpoint=endpoint,
            snapshot=snapshot,
            headers=headers,
            peer=request.peer,
            now=runtime.wheel.now,
            received=runtime.wheel.now(),
        )
        self._running[request] = exchange
        self._generations.began(snapshot.generation)
        request.task = self._loop.create_task(self._exchange(exchange, request))

    def gone(self, request: Request) -> None:
        """Its client has left."""
        if request.begun:
            self._end(request, "client")

    def read(self, request: Request, limit: int) -> Awaitable[bytes]:
        """Its body, which cannot be given at once."""
        return read_body(request, limit, self._runtime.wheel, self._runtime.snapshot.limits.body_timeout)

    def refusal(self, kind: str, reason: str, peer: str | None) -> tuple[int, Mapping[str, str], bytes]:
        """The answer to what is not taken for a request; its connection ends with it."""
        if kind == "late":
            error = GatewayError(errors.BODY_TIMEOUT, f"{reason} (server.header_timeout)")
        else:
            error = GatewayError(errors.VALIDATION, f"this is not HTTP/1.1 as we read it: {reason}")
        log.debug("malformed request", extra={"peer": peer, "reason": reason})
        headers = {"x-request-id": request_id(None), "content-type": "application/json", **error.headers()}
        return error.status, headers, error.body()

    def joined(self, connection: ClientConnection) -> None:
        self.connections.add(connection)

    def left(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)

    # --- the exchanges ------------------------------------------------------------------------------------

    async def _exchange(self, exchange: Exchange, request: Request) -> None:
        request.begun = True
        try:
            await handle(exchange, self._runtime, request, request)
        finally:
            del self._running[request]
            request.close()
            self._generations.ended(exchange.snapshot.generation)

    def _end(self, request: Request, by: str) -> None:
        if (exchange := self._running.get(request)) is not None:
            exchange.ended_by = exchange.ended_by or by
        if request.task is not None:
            request.task.cancel()

    @property
    def active(self) -> int:
        """How many exchanges run."""
        return len(self._running)

    async def cut(self, patience: float) -> int:
        """End what still runs, as the drain's doing and not the client's; gives how many that were."""
        await asyncio.sleep(0)  # each has begun then
        running = [request.task for request in self._running if request.task is not None]
        for request in list(self._running):
            self._end(request, "drain")
        if running:
            await asyncio.wait(running, timeout=patience)
        return len(running)

    # --- the connections ----------------------------------------------------------------------------------

    def close_idle(self, served: float, fresh: float) -> None:
        """Close those on which nothing has gone on for so many seconds; `fresh`: those that never asked anything."""
        self._look(served, fresh, math.inf)

    async def close(self, patience: float) -> None:
        """All connections end."""
        self._sweeping.cancel()
        self.close_idle(0.0, 0.0)
        end = self._loop.time() + patience
        while self.connections and self._loop.time() < end:
            await asyncio.sleep(0.02)
            self.close_idle(0.0, 0.0)
        for connection in list(self.connections):
            connection.abort()
        self._control_plane.close()

    def _sweep(self) -> None:
        self._sweeping = self._loop.call_later(SWEEP, self._sweep)
        keep, head = self._keepalive_timeout, self._header_timeout
        self._look(keep, max(keep, head), head)
        self._control_plane.close_idle()

    def _look(self, served: float, fresh: float, head: float) -> None:
        now = self._runtime.wheel.now()
        stalled = self._runtime.snapshot.limits.client_write
        for connection in list(self.connections):
            connection.sweep(now, served=served, fresh=fresh, head=head, stalled=stalled)
