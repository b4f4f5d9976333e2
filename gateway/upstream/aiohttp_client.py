"""The upstream of a provider behind HTTP: aiohttp's client, for the lane of that name and for proxies.

The rules:

* aiohttp's own clocks are off: the pipeline's run (`deadlines`). Redirects are not followed: a key must
  not travel to an address nobody configured. Cookies are not kept.
* A kept connection may have died unseen. When one that was *reused* breaks before a byte of the answer, the
  request is sent once more, on a new connection; on a new connection it never is.
* What arrives on a kept connection that nobody asks anything is nobody's answer: the connection is never used
  again. aiohttp by itself would give those bytes to the next request, and each answer to the client after.
* The body is read in whatever pieces arrive, never by line: an event may be megabytes long.
* A connection that ends within a body ends the body, also when aiohttp closed it because of broken framing:
  it does not tell whoever waits for the rest.
* aiohttp's exceptions become ours here and nowhere else (`failures` has the words).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from gateway import errors
from gateway.contracts import Feed, WireRequest
from gateway.deadlines import Clock
from gateway.errors import GatewayError
from gateway.upstream import failures, tls
from gateway.upstream.proxies import Proxies

NO_CLOCKS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
BUFFER = 64 << 10  # bytes of an answer that wait for a slow client, beyond the kernel's


class AiohttpUpstream:
    """Connections to one provider. Used inside the running loop, closed once."""

    def __init__(
        self,
        provider: str,
        *,
        connections: int,
        keep_alive: float,
        dns_ttl: float = 30.0,
        proxies: Proxies | None = None,
    ) -> None:
        self._provider = provider
        self._connections = connections
        self._keep_alive = keep_alive
        self._dns_ttl = dns_ttl
        self._proxies = Proxies(provider) if proxies is None else proxies
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by: every connection new?

    async def send(self, request: WireRequest, waiting: Callable[[Clock], None]) -> AiohttpResponse:
        watch = _Watch(waiting)
        try:
            return await self._send(request, watch)
        except aiohttp.ClientConnectionError as problem:
            if not watch.reused or isinstance(problem, aiohttp.ClientConnectorError) or _had_begun(problem):
                _fail(self._provider, problem)
        try:
            return await self._send(request, _Watch(waiting), fresh=True)
        except aiohttp.ClientConnectionError as problem:
            _fail(self._provider, problem)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def _send(self, request: WireRequest, watch: _Watch, *, fresh: bool = False) -> AiohttpResponse:
        try:
            response = await self._session(fresh).request(
                request.head.method,
                request.head.url,
                data=request.body,
                headers=request.head.headers,
                allow_redirects=False,
                trace_request_ctx=watch,
                proxy=self._proxies.of(request.head.url),
                ssl=tls.context() if request.head.url.startswith("https:") else True,
            )
        except aiohttp.ClientConnectionError:
            raise  # here, because a refused certificate is a ValueError too
        except aiohttp.ClientHttpProxyError as problem:
            message = f"{self._provider} cannot be reached: its proxy answered {problem.status}"
            raise GatewayError(errors.CONNECT_FAILED, message) from problem
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, aiohttp.InvalidURL, ValueError) as problem:
            raise failures.nonsense(self._provider, type(problem).__name__) from problem
        return AiohttpResponse(self._provider, response)

    def _session(self, fresh: bool) -> aiohttp.ClientSession:
        if fresh not in self._sessions:
            keep: dict[str, Any] = {"force_close": True} if fresh else {"keepalive_timeout": self._keep_alive}
            dns: dict[str, Any] = {"ttl_dns_cache": self._dns_ttl} if self._dns_ttl else {"use_dns_cache": False}
            self._sessions[fresh] = aiohttp.ClientSession(
                connector=Connector(limit=0, limit_per_host=self._connections, **dns, **keep),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=NO_CLOCKS,
                read_bufsize=BUFFER,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                trace_configs=[_connection_trace()],
            )
        return self._sessions[fresh]


class Connector(aiohttp.TCPConnector):
    """Gives no connection on which something waits already."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            raise aiohttp.ServerDisconnectedError
        return connection


class AiohttpResponse:
    """An answer whose head is here."""

    def __init__(self, provider: str, response: aiohttp.ClientResponse) -> None:
        self._provider = provider
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        connection = response.connection  # None: the answer is complete
        self._protocol = None if connection is None else connection.protocol
        self._watch_end()

    async def push(self, feed: Feed) -> None:
        while data := await self._next():
            waiting = feed(data)  # outside of any `try`: what a client's connection raises is not the provider's
            if waiting is not None:
                await waiting

    async def _next(self) -> bytes:
        """What has arrived; nothing at the end."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError as problem:
            raise failures.broken_off(self._provider, type(problem).__name__) from problem

    def _watch_end(self) -> None:
        if self._protocol is None:
            return
        closed = self._protocol.closed
        if closed is None:
            self._ended()
            return
        closed.remove_done_callback(_heard)
        closed.add_done_callback(_heard)  # stays, once: of a connection kept for later nobody else asks how it ended
        closed.add_done_callback(self._ended)

    def _ended(self, _: object = None) -> None:
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection ended within the body"))

    def close(self) -> None:
        """Back to the pool when the answer is complete, else the connection is cut."""
        if self._protocol is not None and self._protocol.closed is not None:
            self._protocol.closed.remove_done_callback(self._ended)
        if self._response.content.at_eof() and self._response.content.exception() is None:
            self._response.release()
        else:
            self._response.close()


class _Watch:
    """What becomes of one request's connection."""

    __slots__ = ("reused", "waiting")

    def __init__(self, waiting: Callable[[Clock], None]) -> None:
        self.waiting = waiting
        self.reused = False


def _connection_trace() -> aiohttp.TraceConfig:
    async def queued(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.waiting(Clock.QUEUE)

    async def connecting(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.waiting(Clock.CONNECT)

    async def made(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.waiting(Clock.FIRST_CONTENT)

    async def reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.reused = True
        context.trace_request_ctx.waiting(Clock.FIRST_CONTENT)

    trace = aiohttp.TraceConfig()
    trace.on_connection_queued_start.append(queued)
    trace.on_connection_create_start.append(connecting)
    trace.on_connection_create_end.append(made)
    trace.on_connection_reuseconn.append(reused)
    return trace


def _heard(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()


def _had_begun(problem: aiohttp.ClientConnectionError) -> bool:
    """A part of the answer's head had arrived: aiohttp puts it where the message would be."""
    return isinstance(problem, aiohttp.ServerDisconnectedError) and not isinstance(problem.message, str)


def _fail(provider: str, problem: aiohttp.ClientConnectionError) -> NoReturn:
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        raise failures.unresolvable(provider) from problem
    if isinstance(problem, aiohttp.ClientConnectorError):
        raise failures.unreachable(provider, problem.os_error) from problem
    raise failures.lost(provider) from problem
