"""A request's body and its reply, over aiohttp's server.

What a client still sends when its answer is known is read away, within bounds: closing at once would reset
the connection, and the answer with it. Where the next request begins is only known once the body has ended,
so an answer given before that, for more than a little, asks for another connection.

A client may send further requests while one is answered. Past a bound aiohttp stops reading, and then the event
loop no longer tells that the client has left; `left_unseen` asks the kernel, which knows once its FIN is here (it
queues behind what the client had sent, if that was more than the kernel takes; nginx has the same limit).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web

from gateway import errors
from gateway.deadlines import Clock, DeadlinePassed, TimerWheel
from gateway.errors import GatewayError
from gateway.lanes.decoding import ENCODINGS, Decoder, too_large
from gateway.relay import late

SERVER = "llm-gateway"
LITTLE = 64 << 10  # bytes unread at most for which a connection is kept
READ_AWAY = 64 << 20  # bytes
TCP_CLOSE, TCP_CLOSE_WAIT = 7, 8  # reset; the other side has sent its FIN
PAUSE, LINGER = 1.0, 10.0  # seconds of silence, and in all, while the rest is read away


class AiohttpBody:
    """The request's body: refused by its declared length before a byte is read, else by what arrives.

    Sizes are counted as sent and as decoded. A client that waits for ``100 Continue`` gets it
    when the body is wanted, and never sends what is refused.
    """

    def __init__(self, request: web.BaseRequest, wheel: TimerWheel, patience: float) -> None:
        self._request = request
        self._wheel = wheel
        self._patience = patience
        self._withheld = request.version >= (1, 1) and request.headers.get("expect", "").lower() == "100-continue"
        self._late = False

    async def read(self, limit: int) -> bytes:
        encoding = ", ".join(self._request.headers.getall("content-encoding", ["identity"])).strip().lower()
        if encoding not in ENCODINGS:
            message = f"content-encoding {encoding[:40]} is not read; send {', '.join(ENCODINGS)}"
            raise GatewayError(errors.UNSUPPORTED_ENCODING, message)
        declared = self._request.content_length
        if declared is not None and declared > limit:
            raise too_large(f"the body of {declared} bytes", limit)
        try:
            with self._wheel.guard() as deadline:
                deadline.set(Clock.BODY, self._patience)
                await self._ask_for_it()
                return await self._collect(Decoder(encoding), limit)
        except DeadlinePassed as passed:
            self._late = True
            if passed.clock is Clock.DRAIN:
                raise late(passed.clock, "") from passed
            raise GatewayError(errors.BODY_TIMEOUT, "the body did not arrive in time (server.body_timeout)") from passed
        except (aiohttp.ClientError, web.RequestPayloadError, aiohttp.http.HttpProcessingError) as problem:
            self._late = True
            message = f"the body's framing is broken ({type(problem).__name__})"
            raise GatewayError(errors.VALIDATION, message) from problem

    @property
    def spoils_connection(self) -> bool:
        """Is too much unread to wait for the next request behind it?"""
        if self._request.content.is_eof():
            return False
        length = self._request.content_length
        return self._withheld or self._late or length is None or length > LITTLE

    async def read_away(self) -> None:
        """After the answer: what the client still sends, while it sends and within bounds."""
        content, size = self._request.content, 0
        if content.is_eof() or self._withheld or self._late:
            return
        try:
            with self._wheel.guard(latest=self._wheel.now() + LINGER) as deadline:
                while size < READ_AWAY and not content.is_eof():
                    deadline.set(Clock.BODY, PAUSE)
                    size += len(await content.readany())
        except (DeadlinePassed, aiohttp.ClientError, web.RequestPayloadError, aiohttp.http.HttpProcessingError):
            return

    async def _ask_for_it(self) -> None:
        if self._withheld:
            self._withheld = False
            writer = self._request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0  # the answer itself has not begun

    async def _collect(self, decoder: Decoder, limit: int) -> bytes:
        parts: list[bytes] = []
        sent = decoded = 0
        async for data in self._request.content.iter_any():
            sent += len(data)
            for piece in decoder.feed(data):
                decoded += len(piece)
                if max(sent, decoded) > limit:
                    raise too_large("the body", limit)
                parts.append(piece)
        parts.append(rest := decoder.finish())
        if decoded + len(rest) > limit:
            raise too_large("the body", limit)
        return b"".join(parts)


class AiohttpReply:
    """The client's side. If it is `closing`, it is asked to come back on another connection."""

    def __init__(self, request: web.BaseRequest, body: AiohttpBody, *, closing: Callable[[], bool]) -> None:
        self._request = request
        self._body = body
        self._closing = closing
        self.response: web.StreamResponse = web.Response(status=500)
        self.started = False

    @property
    def gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()

    @property
    def left_unseen(self) -> bool:
        """The client has left, and nobody could see it because what it had sent before is not read."""
        transport = self._request.transport
        if transport is None or transport.is_reading():
            return False
        connection = transport.get_extra_info("socket")
        try:
            state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except (AttributeError, OSError):  # not this system, or not TCP
            return False
        return state in (TCP_CLOSE, TCP_CLOSE_WAIT)

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self._prepare(web.Response(status=status, body=body, headers={"server": SERVER, **headers}))
        await self.response.write_eof()

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        response = web.StreamResponse(status=status, headers={"server": SERVER, **headers})
        if self._request.version < (1, 1) and response.content_length is None:
            response.force_close()  # only the connection's end tells HTTP/1.0 where this ends
        await self._prepare(response)

    def write(self, data: bytes) -> Awaitable[None] | None:
        return self.response.write(data)

    async def end(self) -> None:
        await self.response.write_eof()

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _prepare(self, response: web.StreamResponse) -> None:
        if self._closing() or self._body.spoils_connection:
            response.force_close()
        self.started = True
        self.response = response
        await response.prepare(self._request)
