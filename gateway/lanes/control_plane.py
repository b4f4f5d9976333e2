"""The way from a fast connection to the aiohttp application: as to any upstream, over a socket pair inside the process.

A connection never changes its protocol, so pages and calls to providers may follow each other on one keep-alive
connection. What the two must know of each other and cannot see goes in headers under `x-gateway-`: the client's
address, its method where that is HEAD; the error that is shown. They are believed on this way only, and go no further:
what a client sends under such names is dropped.
- HEAD goes over as GET, because an answer that ends before its body would leave the pooled connection in disorder.
- No page takes a body, so none is sent along: as in the aiohttp lane a refusal does not wait for it.
- The client's framing and its wishes for its connection stay here, as do the application's.
- The access line is written here, where it is known what the client took and whether it stayed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

from gateway import errors
from gateway._fast import Request, UpstreamConnection
from gateway.deadlines import Clock, Deadline, DeadlinePassed
from gateway.errors import GatewayError
from gateway.lanes.aiohttp_server import CLIENTS_METHOD, CLIENTS_PEER, OURS, SHOWN_ERROR
from gateway.snapshot import Runtime
from gateway.telemetry.access_log import AccessRecord
from gateway.telemetry.request_id import correlation_id, request_id

MOST_IDLE = 8
IDLE = 5.0  # seconds
HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "http2-settings", "expect", "content-length", "x-request-id", "sec-websocket-key1",
})  # fmt: skip
NOT_PASSED_BACK = frozenset({"connection", "keep-alive", "transfer-encoding", "server", "date", SHOWN_ERROR})

log = logging.getLogger("gateway")


class ControlPlane:
    """Forwards requests; `hop` makes the application's side of a connection."""

    def __init__(self, runtime: Runtime, hop: Callable[[], asyncio.Protocol]) -> None:
        self._runtime = runtime
        self._hop = hop
        self._loop = asyncio.get_running_loop()
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()

    async def forward(self, request: Request) -> None:
        """Let the application answer, within the client's time to take it."""
        request.begun = True
        headers = request.headers
        record = AccessRecord(
            ts=time.time(),
            request_id=request_id(headers.get("x-request-id")),
            correlation_id=correlation_id(headers.get("x-correlation-id")),
            client=request.peer,
            method=request.method,
            path=request.path,
            user_agent=headers.get("user-agent"),
        )
        began = self._runtime.wheel.now()
        try:
            with self._runtime.wheel.guard() as deadline:
                await self._show(request, record, deadline)
        except (DeadlinePassed, ConnectionError):
            record.ended_by = "client"
        except asyncio.CancelledError:
            record.ended_by = "client" if request.gone else "drain"
            raise
        except Exception:
            log.exception("the control plane has failed", extra={"request_id": record.request_id})
            _apologise(request, record)
        finally:
            request.close()  # an answer that has no end by now never will
            record.duration_ms = (self._runtime.wheel.now() - began) * 1000
            if self._runtime.access_log is not None:
                self._runtime.access_log.write(record.line())

    async def _show(self, request: Request, record: AccessRecord, deadline: Deadline) -> None:
        if request.gone:
            raise ConnectionResetError("the client has left")
        connection = await self._connection()
        try:
            connection.send(b"".join(_head(request, record.request_id)), b"")
            answer = await connection.head()
        except BaseException:  # the client has left, say: nobody closes it otherwise
            connection.close()
            raise
        patience = self._runtime.snapshot.limits.client_write
        taken = 0

        def write(data: bytes) -> Awaitable[None] | None:
            deadline.set(Clock.CLIENT_WRITE, patience)
            nonlocal taken
            taken += len(data)
            return request.write(data)

        try:
            record.status = answer.status
            if shown := answer.headers.get(SHOWN_ERROR):
                record.error_code, _, record.error_type = shown.partition(" ")
            headers = {name: value for name, value in answer.headers.items() if name not in NOT_PASSED_BACK}
            request.begin(answer.status, headers)
            await answer.push(_nothing if request.method == "HEAD" else write)
            deadline.set(Clock.CLIENT_WRITE, patience)
            if (waiting := request.end()) is not None:
                await waiting
        finally:
            record.bytes_out = taken
            answer.close()

    async def _connection(self) -> UpstreamConnection:
        """One that waits for work, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        ours, theirs = socket.socketpair()
        try:
            await self._loop.connect_accepted_socket(self._hop, sock=theirs)
            _, connection = await self._loop.create_unix_connection(
                lambda: UpstreamConnection(self._loop, owner=self), sock=ours
            )
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._open.add(connection)
        return connection

    def give(self, connection: UpstreamConnection, patience: float) -> None:
        """Its answer is complete, it may be used again."""
        if len(self._idle) < MOST_IDLE:
            connection.until = self._loop.time() + IDLE
            self._idle.append(connection)
        else:
            connection.close()

    def lost(self, connection: UpstreamConnection) -> None:
        """It has ended."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close_idle(self) -> None:
        """Those that nobody has needed for a while."""
        now = self._loop.time()
        for connection in [each for each in self._idle if each.until <= now]:
            connection.close()

    def close(self) -> None:
        """All of them."""
        for connection in list(self._open):
            connection.close()


def _head(request: Request, own_id: str) -> Iterator[bytes]:
    """The request as the application gets it, line by line."""
    method, target = request.method, request.target
    if not target.startswith("/"):  # of http://authority/path only the path; the authority is the Host already
        _, asks, query = target.partition("?")
        target = request.path + asks + query
    yield f"{'GET' if method == 'HEAD' else method} {target} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")
    if "host" not in request.headers:
        yield b"host: gateway\r\n"
    for name, value in request.headers.items():  # each once: aiohttp refuses a second line of some
        if name not in HOP_BY_HOP and not name.startswith(OURS):
            yield f"{name}: {value}\r\n".encode("utf-8", "surrogateescape")
    if request.peer is not None:
        yield f"{CLIENTS_PEER}: {request.peer}\r\n".encode("utf-8", "surrogateescape")
    yield f"x-request-id: {own_id}\r\n{CLIENTS_METHOD}: {method}\r\n".encode("ascii")


def _apologise(request: Request, record: AccessRecord) -> None:
    error = GatewayError(errors.INTERNAL, f"internal error; it is logged as {record.request_id}")
    record.error_code, record.error_type = error.code, error.type
    if not request.started and not request.gone:
        record.status = error.status
        headers = {"content-type": "application/json", "x-request-id": record.request_id, **error.headers()}
        request.send(error.status, headers, error.body())


def _nothing(data: bytes) -> None:
    return None
