"""A request's body and its reply, over aiohttp's server."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

import aiohttp
from aiohttp import web

from gateway import errors
from gateway.deadlines import Clock, DeadlinePassed, TimerWheel
from gateway.errors import GatewayError
from gateway.exchange import Exchange

SERVER = "llm-gateway"
DECODED = ("identity", "gzip", "deflate")  # what aiohttp decodes by itself, piece by piece
READ_AWAY = 64 << 10  # bytes


class AiohttpBody:
    """The request's body: refused by its declared length before a byte is read, else by what arrives.

    gzip and deflate are decoded while they are read, so the limit holds for the decoded size.
    """

    def __init__(self, request: web.BaseRequest, wheel: TimerWheel, exchange: Exchange) -> None:
        self._request = request
        self._wheel = wheel
        self._patience = exchange.snapshot.limits.body_timeout

    async def read(self, limit: int) -> bytes:
        encoding = self._request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in DECODED:
            message = f"content-encoding {encoding[:40]} is not read; send {', '.join(DECODED)}"
            raise GatewayError(errors.UNSUPPORTED_ENCODING, message)
        declared = self._request.content_length
        if declared is not None and declared > limit:
            raise _too_large(f"the body of {declared} bytes", limit)
        try:
            with self._wheel.guard() as deadline:
                deadline.set(Clock.BODY, self._patience)
                return await self._collect(limit)
        except DeadlinePassed as passed:
            raise GatewayError(errors.BODY_TIMEOUT, "the body did not arrive in time (server.body_timeout)") from passed
        except (aiohttp.ClientError, web.RequestPayloadError, aiohttp.http.HttpProcessingError) as problem:
            message = f"the body cannot be read ({type(problem).__name__}); is it really {encoding}?"
            raise GatewayError(errors.VALIDATION, message) from problem

    async def _collect(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for data in self._request.content.iter_any():
            size += len(data)
            if size > limit:
                raise _too_large("the body", limit)
            parts.append(data)
        return b"".join(parts)


class AiohttpReply:
    """The client's side. With `closing`, it is asked to come back on another connection."""

    def __init__(self, request: web.BaseRequest, *, closing: bool) -> None:
        self._request = request
        self._closing = closing
        self.response: web.StreamResponse = web.Response(status=500)
        self.started = False

    @property
    def gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self._prepare(web.Response(status=status, body=body, headers={"server": SERVER, **headers}))
        await self.response.write_eof()

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        await self._prepare(web.StreamResponse(status=status, headers={"server": SERVER, **headers}))

    def write(self, data: bytes) -> Awaitable[None] | None:
        return self.response.write(data)

    async def end(self) -> None:
        await self.response.write_eof()

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _prepare(self, response: web.StreamResponse) -> None:
        """Commit the head. A little that was not read of the body is read away after it; much closes."""
        unread = 0 if self._request.content.is_eof() else self._request.content_length
        if self._closing or unread is None or unread > READ_AWAY:
            response.force_close()
        self.started = True
        self.response = response
        await response.prepare(self._request)


def _too_large(what: str, limit: int) -> GatewayError:
    return GatewayError(errors.PAYLOAD_TOO_LARGE, f"{what} exceeds the {limit} bytes allowed (server.max_body)")
