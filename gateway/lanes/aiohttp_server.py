"""aiohttp's server, with our own words for what is not HTTP.

By itself aiohttp answers a malformed request in plain text, names its version, and writes a traceback to
the log: whoever can connect could fill the log. Here such a request gets the error shape of every other
refusal, and a line at debug level. The connection ends with it: nobody knows where the next request begins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.http_exceptions import InvalidURLError

from gateway import errors
from gateway.errors import GatewayError
from gateway.lanes.aiohttp_judge import PLAIN_END, VERSION, answerable
from gateway.lanes.aiohttp_lane import SERVER
from gateway.telemetry.request_id import request_id

OURS = "x-gateway-"  # headers between the fast lane and the application, on their own way only
CLIENTS_PEER, CLIENTS_METHOD, SHOWN_ERROR = OURS + "peer", OURS + "method", OURS + "error"
HOP_HEADERS, HOP_FIELD = 256, 128 << 10  # more than the fast lane lets through
HOP_IDLE = 3600.0  # seconds; the fast lane closes what it does not need

log = logging.getLogger("gateway")


class Connection(web.RequestHandler):
    """One client's connection, and whether anything goes on there: what a drain must know.

    `hop`: it comes from the fast lane, whose word about the client is believed.
    """

    __slots__ = ("asked", "busy", "hop", "read_last", "since")

    def __init__(self, manager: web.Server, *, hop: bool = False, **options: Any) -> None:
        super().__init__(manager, **options)
        self.hop = hop
        self.asked = self.busy = False  # a request has come; one is being answered
        self.since = time.monotonic()  # when it became idle
        self.read_last = b""  # as many bytes as tell how a body ended

    def data_received(self, data: bytes) -> None:
        self.read_last = (self.read_last + data[-len(PLAIN_END) :])[-len(PLAIN_END) :]
        super().data_received(data)

    def begins(self) -> None:
        self.asked = self.busy = True

    def ends(self) -> None:
        self.busy = False
        self.since = time.monotonic()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone; aiohttp closes without a word
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer has begun and cannot be taken back")
        if isinstance(exc, HttpProcessingError):
            error = GatewayError(errors.VALIDATION, f"this is not HTTP/1.1 as we read it: {_reason(exc)}")
            log.debug("malformed request", extra={"peer": request.remote, "reason": _reason(exc)})
        else:
            error = GatewayError(errors.INTERNAL, "internal error; it is logged")
            log.error("internal error", exc_info=exc)
        headers = {"server": SERVER, "x-request-id": request_id(None), **error.headers()}
        headers |= {"content-type": "application/json", "connection": "close"}
        response = web.Response(status=error.status, body=error.body(), headers=headers)
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes the connections."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any) -> None:
        super().__init__(answer, request_factory=self._asked, handler_cancellation=True)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)

    def hop(self) -> web.RequestHandler:
        """A connection from the fast lane."""
        options = self._options | {
            "max_headers": HOP_HEADERS,
            "max_field_size": HOP_FIELD,
            "keepalive_timeout": HOP_IDLE,
        }
        return Connection(self, hop=True, loop=asyncio.get_running_loop(), **options)

    def _asked(
        self, message: RawRequestMessage, payload: Any, protocol: web.RequestHandler, writer: Any, task: Any
    ) -> web.BaseRequest:
        request = web.BaseRequest(answerable(message), payload, protocol, writer, task, asyncio.get_running_loop())
        request[VERSION] = message.version
        return request

    def change(self, **options: Any) -> None:
        """For connections made from now on."""
        self._options |= options

    def close_idle(self, served: float, fresh: float) -> None:
        """Close those on which nothing has gone on for so many seconds; `fresh`: those that never asked anything."""
        now = time.monotonic()
        for connection in self.connections:
            assert isinstance(connection, Connection)
            if not connection.busy and now - connection.since >= (served if connection.asked else fresh):
                connection.force_close()


def _reason(problem: HttpProcessingError) -> str:
    """The parser's own words, less the client's bytes that it quotes."""
    if isinstance(problem, InvalidURLError):
        return "the target is no path"
    return problem.message.partition("\n")[0].partition(": b")[0].rstrip(":.") or type(problem).__name__
