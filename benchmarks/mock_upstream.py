"""The streaming upstream: a chat completion of N prebuilt events, one every so many milliseconds.

``python -m benchmarks.mock_upstream PORT_FILE`` listens on a free port of 127.0.0.1 and writes it down.
The request's ``metadata`` says how many events and at what pace. It knows as much HTTP/1.1 as the
benchmark needs: keep-alive, Content-Length bodies, chunked answers; it must outrun every proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END = b"0\r\n\r\n"
COMMON = {"id": "chatcmpl-benchmark0123456789", "object": "chat.completion.chunk", "created": 1760000000}


def event(choices: list[object], usage: dict[str, int] | None = None) -> bytes:
    """One event as one chunk, about 300 bytes as providers send them."""
    whole = {**COMMON, "model": "stream", "service_tier": "default", "system_fingerprint": "fp_benchmark"}
    return chunk(json.dumps({**whole, "choices": choices, "usage": usage, "obfuscation": "xxxxxxxxxxxx"}).encode())


def chunk(data: bytes) -> bytes:
    framed = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(framed), framed)


def choice(delta: dict[str, str], finish: str | None = None) -> list[object]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]


WORD = event(choice({"content": " ships"}))
LAST = event(choice({}, "stop")) + event([], {"prompt_tokens": 110, "completion_tokens": 9, "total_tokens": 119})
LAST += chunk(b"[DONE]") + END
TRAILING = 3  # the finish marker, the usage and [DONE] follow the last word


class MockUpstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head_end = self._unread.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = LENGTH.search(self._unread, 0, head_end)
        body_end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._unread) >= body_end:
            body, self._unread = self._unread[head_end + 4 : body_end], self._unread[body_end:]
            self._answer(json.loads(body)["metadata"])

    def _answer(self, pace: dict[str, str]) -> None:
        self._left = int(pace["events"])
        self._interval = int(pace["interval_ms"]) / 1000
        self._transport.write(HEAD + WORD)
        self._due = self._loop.time()
        self._next()

    def _next(self) -> None:
        """Write one event and come again when the next is due: by the clock, so that a late one isn't made up later."""
        self._left -= 1
        if self._left <= 0:
            self._timer = None
            self._transport.write(LAST)
            return
        self._due += self._interval
        self._timer = self._loop.call_at(self._due, self._word)

    def _word(self) -> None:
        self._transport.write(WORD)
        self._next()


async def serve(write_down: Callable[[str], object]) -> None:
    server = await asyncio.get_running_loop().create_server(MockUpstream, "127.0.0.1", 0, backlog=4096)
    write_down(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(Path(sys.argv[1]).write_text))
