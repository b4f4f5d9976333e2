"""The upstream of a provider behind HTTP, on compiled connections (`UpstreamConnection`).

* A request's head is rendered once for each `WireHead` and kept there. A request adds its length and its body, and is
  written in one piece.
* A kept connection may have died unseen. When one that was *reused* dies before a byte of the answer, the request is
  sent once more, on a new connection in the same place; on a new connection it never is.
* Redirects are not followed and cookies are not kept: a key must not travel to an address nobody configured.
* No clocks: the pipeline's run, and cancel whoever waits. Then the connection is cut.
* A provider behind a proxy is served by aiohttp's client.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway._fast import AnswerLost, AnswerRefused, UpstreamAnswer, UpstreamConnection
from gateway.contracts import UpstreamResponse, WireHead, WireRequest
from gateway.deadlines import Clock
from gateway.upstream import decoding, failures, routes, tls
from gateway.upstream.addresses import Addresses
from gateway.upstream.aiohttp_client import AiohttpUpstream
from gateway.upstream.decoding import DecodedAnswer
from gateway.upstream.dialing import Dialing
from gateway.upstream.pool import Pool
from gateway.upstream.proxies import Proxies
from gateway.upstream.routes import Place, Route

Waiting = Callable[[Clock], None]


class FastUpstream:
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
        self._proxies = Proxies(provider) if proxies is None else proxies
        self._addresses = Addresses(dns_ttl)
        tls.context()  # made now, not within the first request
        self._pools: dict[Place, Pool] = {}
        self._proxied = AiohttpUpstream(
            provider, connections=connections, keep_alive=keep_alive, dns_ttl=dns_ttl, proxies=self._proxies
        )

    async def send(self, request: WireRequest, waiting: Waiting) -> UpstreamResponse:
        route = request.head.rendered
        if route is None or route.upstream is not self:
            route = self._route(request.head)
        pool: Pool | None = route.pool
        if pool is None:
            return await self._proxied.send(request, waiting)
        connection = pool.take() or await pool.wait(waiting)
        waiting(Clock.FIRST_CONTENT)
        try:
            connection.send(route.lines, request.body)
            answer = await connection.head()
        except AnswerLost as lost:
            if lost.begun or not connection.reused:
                connection.close()
                raise failures.lost(self._provider) from lost
            answer = await self._again(pool, route, request.body, waiting)
        except AnswerRefused as refused:
            connection.close()
            raise failures.nonsense(self._provider, str(refused)) from refused
        except BaseException:
            connection.close()
            raise
        return answer if not answer.encoding else self._decoded(answer)

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        await self._proxied.close()

    async def _again(self, pool: Pool, route: Route, body: bytes, waiting: Waiting) -> UpstreamAnswer:
        """Once more, on a new connection."""
        connection: UpstreamConnection = await pool.again(waiting)
        waiting(Clock.FIRST_CONTENT)
        try:
            connection.send(route.lines, body)
            return await connection.head()
        except BaseException as problem:
            connection.close()
            if isinstance(problem, AnswerLost):
                raise failures.lost(self._provider) from problem
            if isinstance(problem, AnswerRefused):
                raise failures.nonsense(self._provider, str(problem)) from problem
            raise

    def _decoded(self, answer: UpstreamAnswer) -> DecodedAnswer:
        refused = decoding.refusal(self._provider, answer.encoding)
        if refused is not None:
            answer.close()
            raise refused
        return DecodedAnswer(self._provider, answer)

    def _route(self, head: WireHead) -> Route:
        proxied = self._proxies.of(head.url) is not None
        route = Route(self, b"") if proxied else Route(self, routes.lines(head), self._pool(routes.place(head.url)))
        head.rendered = route
        return route

    def _pool(self, place: Place) -> Pool:
        if place not in self._pools:
            dialing = Dialing(self._provider, place.host, place.port, self._addresses, encrypted=place.encrypted)
            self._pools[place] = Pool(dialing.connection, limit=self._connections, keep_alive=self._keep_alive)
        return self._pools[place]
