"""A small HTTP/1.1 client that notes times: one connection, one request at a time, whole or streamed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import cast

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Client(asyncio.Protocol):
    """`finished` is called when an answer is complete, or the connection is gone (`broken`)."""

    def __init__(self, finished: Callable[[Client], None]) -> None:
        self._finished = finished
        self._busy = False
        self.broken = False
        self.events_in_all = 0  # of every answer so far

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True
        if self._busy:
            self._done()

    def send(self, request: bytes, sent_at: float) -> None:
        self._head = b""
        self._body_left: int | None = None
        self._tail = b""
        self._busy = True
        self.status = 0
        self.events = 0
        self.sent_at = sent_at
        self.first_at = 0.0  # the first byte of the body
        self.ended_at = 0.0
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if not self.status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self._begin(end)
        if data:
            self._body(data)

    def _begin(self, end: int) -> bytes:
        """Read the head; return what came of the body with it."""
        self.status = int(self._head[9:12])
        length = LENGTH.search(self._head, 0, end)
        if length:
            self._body_left = int(length[1])
        elif not CHUNKED.search(self._head, 0, end):
            self.broken = True  # framed by the connection's end: nothing here should answer so
        self._tail = self._head[end : end + 4]
        return self._head[end + 4 :]

    def _body(self, data: bytes) -> None:
        if not self.first_at:
            self.first_at = time.perf_counter()
        seen = self._tail[-1:] + data
        fresh = seen.count(b"\n\n")  # a chunk's own frame has \r\n only
        self.events += fresh
        self.events_in_all += fresh
        if self._body_left is not None:
            self._body_left -= len(data)
            complete = self._body_left <= 0
        else:
            complete = (self._tail + data).endswith(LAST_CHUNK)
        self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
        if complete:
            self._done()

    def _done(self) -> None:
        self._busy = False
        self.ended_at = time.perf_counter()
        self._finished(self)


async def connect(port: int, count: int, finished: Callable[[Client], None]) -> list[Client]:
    """So many open connections."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(finished), "127.0.0.1", port) for _ in range(count)]
    return [client for _, client in made]
