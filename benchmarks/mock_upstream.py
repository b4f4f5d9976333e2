"""The upstream for streams and for large bodies.

A chat completion of N prebuilt events, one every so many milliseconds, or with 0 ms all in one write; the request's
``metadata`` says how many and at what pace. A body that is too large for a question about pace is read to its end and
answered whole. ``python -m benchmarks.mock_upstream PORT_FILE`` listens on a free port of 127.0.0.1 and writes it down.
It knows as much HTTP/1.1 as the benchmark needs: keep-alive, Content-Length bodies, chunked answers; it must outrun
every proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.bodies import ANSWER

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
SWALLOWED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
SWALLOWED += ANSWER.encode()
LARGE = 65536  # bytes of a body that is not kept
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END = b"0\r\n\r\n"
COMMON = {"id": "chatcmpl-benchmark0123456789", "object": "chat.completion.chunk", "created": 1760000000}


def event(choices: list[object], usage: dict[str, int] | None = None) -> bytes:
    """One event, about 300 bytes as providers send them."""
    whole = {**COMMON, "model": "stream", "service_tier": "default", "system_fingerprint": "fp_benchmark"}
    return framed(json.dumps({**whole, "choices": choices, "usage": usage, "obfuscation": "xxxxxxxxxxxx"}).encode())


def framed(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def choice(delta: dict[str, str], finish: str | None = None) -> list[object]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]


WORD = event(choice({"content": " ships"}))
USAGE = event([], {"prompt_tokens": 110, "completion_tokens": 9, "total_tokens": 119})
LAST = (event(choice({}, "stop")), USAGE, framed(b"[DONE]"))  # they follow the last word
CHUNK = chunk(WORD)
LAST_CHUNKS = b"".join(map(chunk, LAST)) + END


def payload(events: int) -> int:
    """The bytes of a stream of so many events, without what frames them."""
    return (events - len(LAST)) * len(WORD) + sum(map(len, LAST))


@functools.cache
def burst(words: int) -> bytes:
    """The whole answer, each event a chunk of its own."""
    return HEAD + CHUNK * words + LAST_CHUNKS


class MockUpstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._to_swallow = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._to_swallow:
            self._swallow(len(data))
            return
        self._unread += data
        head_end = self._unread.find(b"\r\n\r\n")
        if head_end < 0:
            return
        found = LENGTH.search(self._unread, 0, head_end)
        begin, length = head_end + 4, int(found[1]) if found else 0
        if length > LARGE:
            self._to_swallow, here, self._unread = length, len(self._unread) - begin, b""
            self._swallow(here)
        elif len(self._unread) >= begin + length:
            body, self._unread = self._unread[begin : begin + length], self._unread[begin + length :]
            self._answer(json.loads(body)["metadata"])

    def _swallow(self, count: int) -> None:
        self._to_swallow -= count
        if self._to_swallow <= 0:
            self._transport.write(SWALLOWED)

    def _answer(self, pace: dict[str, str]) -> None:
        self._left = int(pace["events"])
        self._interval = int(pace["interval_ms"]) / 1000
        if not self._interval:
            self._transport.write(burst(self._left))
            return
        self._transport.write(HEAD + CHUNK)
        self._due = self._loop.time()
        self._next()

    def _next(self) -> None:
        """Write one event and come again when the next is due: by the clock, so that a late one isn't made up later."""
        self._left -= 1
        if self._left <= 0:
            self._timer = None
            self._transport.write(LAST_CHUNKS)
            return
        self._due += self._interval
        self._timer = self._loop.call_at(self._due, self._word)

    def _word(self) -> None:
        self._transport.write(CHUNK)
        self._next()


async def serve(write_down: Callable[[str], object]) -> None:
    server = await asyncio.get_running_loop().create_server(MockUpstream, "127.0.0.1", 0, backlog=4096)
    write_down(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(Path(sys.argv[1]).write_text))
