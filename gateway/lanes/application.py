"""The aiohttp lane: one handler that turns aiohttp's requests into exchanges and pages; the fast lane has pages of it.

aiohttp's low-level server is used, not its router: which path means what is the snapshot's business, and
so every refusal is ours and reads like the others. The handler is cancelled when the client leaves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import unquote

from aiohttp import web

from gateway import errors
from gateway.contracts import Page, PageAnswer
from gateway.deadlines import Clock, DeadlinePassed
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.lanes.aiohttp_judge import is_last, judge
from gateway.lanes.aiohttp_lane import AiohttpBody, AiohttpReply
from gateway.lanes.aiohttp_server import CLIENTS_METHOD, SHOWN_ERROR, Connection
from gateway.lanes.generations import Generations
from gateway.pipeline import handle
from gateway.snapshot import Runtime
from gateway.telemetry.access_log import AccessRecord
from gateway.telemetry.request_id import correlation_id, request_id

LOOK_AFTER = 0.5  # seconds between two looks for clients that left unseen

log = logging.getLogger("gateway")


class Application:
    """Answers aiohttp's requests."""

    def __init__(self, runtime: Runtime, generations: Generations) -> None:
        self._runtime = runtime
        self._generations = generations
        self._running: dict[asyncio.Task[None] | None, tuple[Exchange, AiohttpReply]] = {}
        self._look = runtime.wheel.watch(self._look_for_leavers)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begins()
        try:
            if not connection.hop:
                judge(request)
            return await self._answer(request, connection)
        finally:
            connection.ends()

    async def _answer(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        runtime = self._runtime
        body = AiohttpBody(request, runtime.wheel, runtime.snapshot.limits.body_timeout)
        reply = AiohttpReply(request, body, closing=lambda: runtime.leaving or is_last(request, connection.read_last))
        endpoint = runtime.snapshot.endpoints.get(_path(request))
        if endpoint is None or request.method != "POST":
            await self._page(request, reply)
        else:
            headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
            exchange = Exchange(
                id=request_id(headers.get("x-request-id")),
                correlation_id=correlation_id(headers.get("x-correlation-id")),
                method=request.method,
                path=endpoint.path,
                endpoint=endpoint,
                snapshot=runtime.snapshot,
                headers=headers,
                peer=request.remote,
                now=runtime.wheel.now,
                received=runtime.wheel.now(),
            )
            await self._exchange(exchange, body, reply)
        await body.read_away()
        return reply.response

    @property
    def active(self) -> int:
        """How many exchanges run."""
        return len(self._running)

    async def cut(self, patience: float) -> int:
        """End what still runs, as the drain's doing and not the client's; gives how many that were."""
        running = {task: exchange for task, (exchange, _) in self._running.items() if task is not None}
        for task, exchange in running.items():
            exchange.ended_by = exchange.ended_by or "drain"
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=patience)
        return len(running)

    async def _exchange(self, exchange: Exchange, body: AiohttpBody, reply: AiohttpReply) -> None:
        task = asyncio.current_task()
        if not self._running:
            self._look.set(Clock.IDLE, LOOK_AFTER)
        self._running[task] = exchange, reply
        self._generations.began(exchange.snapshot.generation)
        try:
            await handle(exchange, self._runtime, body, reply)
        finally:
            del self._running[task]
            self._generations.ended(exchange.snapshot.generation)

    def _look_for_leavers(self) -> None:
        """Cut them: aiohttp then cancels their task, as for everybody who leaves."""
        for _, reply in list(self._running.values()):
            if reply.left_unseen:
                reply.abort()
        if self._running:
            self._look.set(Clock.IDLE, LOOK_AFTER)

    async def _page(self, request: web.BaseRequest, reply: AiohttpReply) -> None:
        """Show a page; of what the fast lane asks for, it writes the access line itself."""
        record = AccessRecord(
            ts=time.time(),
            request_id=request_id(_joined(request, "x-request-id")),
            correlation_id=correlation_id(_joined(request, "x-correlation-id")),
            client=request.remote,
            method=request.method,
            path=_path(request),
            user_agent=request.headers.get("user-agent"),
        )
        began = self._runtime.wheel.now()
        answer, headers = await self._shown(request, record)
        hop = _is_hop(request)
        if hop and record.error_code is not None:
            headers[SHOWN_ERROR] = f"{record.error_code} {record.error_type}"
        try:
            with self._runtime.wheel.guard() as deadline:
                deadline.set(Clock.CLIENT_WRITE, self._runtime.snapshot.limits.client_write)
                await reply.send(answer.status, {"content-type": answer.content_type, **headers}, answer.body)
        except DeadlinePassed:
            record.ended_by = "client"
            reply.abort()
        except ConnectionError:
            record.ended_by = "client"
        finally:
            record.status, record.bytes_out = answer.status, 0 if request.method == "HEAD" else len(answer.body)
            record.duration_ms = (self._runtime.wheel.now() - began) * 1000
            if self._runtime.access_log is not None and not hop:
                self._runtime.access_log.write(record.line())

    async def _shown(self, request: web.BaseRequest, record: AccessRecord) -> tuple[PageAnswer, dict[str, str]]:
        """What to show, or the refusal, with its headers."""
        headers = {"x-request-id": record.request_id}
        try:
            return await self._show(request), headers
        except GatewayError as problem:
            error = problem
        except Exception:
            log.exception("internal error", extra={"request_id": record.request_id})
            error = GatewayError(errors.INTERNAL, f"internal error; it is logged as {record.request_id}")
        record.error_code, record.error_type = error.code, error.type
        return PageAnswer(error.status, error.body()), headers | error.headers()

    async def _show(self, request: web.BaseRequest) -> PageAnswer:
        path = _path(request)
        page, rest = self._find(path)
        if page is None:
            if path in self._runtime.snapshot.endpoints:
                raise GatewayError(errors.METHOD_NOT_ALLOWED, f"{path} takes POST", allow="POST")
            message = f"{_method(request)} {path[:200]} does not exist; GET /openapi.json lists what does"
            raise GatewayError(errors.UNKNOWN_PATH, message)
        if request.method not in ("GET", "HEAD"):
            raise GatewayError(errors.METHOD_NOT_ALLOWED, f"{path[:200]} takes GET", allow="GET, HEAD")
        return await page.show(self._runtime, rest)

    def _find(self, path: str) -> tuple[Page | None, str]:
        """The page of a path, and what of the path is its argument."""
        pages = self._runtime.snapshot.pages
        if path in pages:
            return pages[path], ""
        for known, page in pages.items():
            if known.endswith("/*") and path.startswith(known[:-1]) and len(path) >= len(known):
                return page, unquote(path[len(known) - 1 :])
        return None, ""


def _path(request: web.BaseRequest) -> str:
    """The path as it was sent, so that ``%2F`` is no slash; of ``http://host/path`` only the path."""
    return request.rel_url.raw_path or "/"


def _joined(request: web.BaseRequest, name: str) -> str | None:
    """A header; of one that comes more than once all values, so that none of them is taken for the only one."""
    return ", ".join(request.headers.getall(name, ())) or None


def _method(request: web.BaseRequest) -> str:
    """The client's."""
    return request.headers.get(CLIENTS_METHOD, request.method) if _is_hop(request) else request.method


def _is_hop(request: web.BaseRequest) -> bool:
    """Did the fast lane send this for a client of its own?"""
    return isinstance(request.protocol, Connection) and request.protocol.hop
