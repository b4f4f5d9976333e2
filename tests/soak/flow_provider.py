"""``python -m tests.soak.flow_provider``: a provider of streams, each with words of its own, and of large answers.

The request's ``metadata`` says what it plays: so many ``events``, ``interval_ms`` apart, in the stream ``number``. With
no interval they follow one another as fast as they are taken, and each is a large one. With ``size`` it is a whole
answer of so many bytes. It says its port, and for every line that it reads how many streams wait because nobody takes
them.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

from tests.soak.program import many_files, say

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LAST = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
WORD = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{'
    b'"content":"stream %d word %d %b"}}]}\n\n'
)
LARGE = 16_000  # bytes of an event when they come as fast as they are taken


def word(number: int, at: int, padding: int = 60) -> bytes:
    """One event, by itself of about 150 bytes."""
    return WORD % (number, at, b"." * padding)


def whole_answer(size: int) -> bytes:
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    message = {"role": "assistant", "content": "y" * size}
    return json.dumps({**answer, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


class FlowProvider(asyncio.Protocol):
    """One connection."""

    waiting = 0  # of all

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._timer: asyncio.TimerHandle | None = None
        self._waits = False
        self._at = self._events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._at = self._events
        self._wait(False)
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._wait(True)

    def resume_writing(self) -> None:
        self._wait(False)
        if not self._interval:
            self._pour()

    def _wait(self, waits: bool) -> None:
        FlowProvider.waiting += waits - self._waits
        self._waits = waits

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head_end = self._unread.find(b"\r\n\r\n")
        found = LENGTH.search(self._unread, 0, head_end) if head_end > 0 else None
        if found is None or len(self._unread) < head_end + 4 + int(found[1]):
            return
        body, self._unread = self._unread[head_end + 4 :], b""
        self._answer(json.loads(body).get("metadata") or {"size": "200"})

    def _answer(self, play: dict[str, str]) -> None:
        self._interval = 0.0
        if "size" in play:
            body = whole_answer(int(play["size"]))
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)
            return
        self._number, self._events = int(play["number"]), int(play["events"])
        self._interval = int(play["interval_ms"]) / 1000
        self._at = 0
        self._transport.write(HEAD)
        if self._interval:
            self._due = self._loop.time()
            self._next()
        else:
            self._pour()

    def _next(self) -> None:
        """One event now, the next when it is due."""
        self._word()
        if self._at < self._events:
            self._due += self._interval
            self._timer = self._loop.call_at(self._due, self._next)

    def _pour(self) -> None:
        while self._at < self._events and not self._waits:
            self._word(LARGE)

    def _word(self, padding: int = 60) -> None:
        data = word(self._number, self._at, padding)
        self._at += 1
        last = LAST if self._at == self._events else b""
        data += last
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) + (b"0\r\n\r\n" if last else b""))


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(FlowProvider, "127.0.0.1", 0, backlog=4096)
    say(server.sockets[0].getsockname()[1])
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        say(FlowProvider.waiting)


if __name__ == "__main__":
    many_files()
    uvloop.run(serve())
