"""``python -m tests.soak.stream_clients PORT STREAMS EVENTS INTERVAL_MS``: so many streams at once, each verified
byte by byte.

It says "running" when every stream has had its first word, and at the end what became of them: how many were complete,
and of the others the number and what was wrong.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import httptools
import uvloop

from tests.harness.load import chat_request
from tests.soak.flow_provider import LAST, word
from tests.soak.program import many_files, say

AT_ONCE = 200  # connections that are being made
FIRST = 120.0  # seconds for the first words of all, and for the last


class StreamClient(asyncio.Protocol):
    """One stream: what it should say is made as it comes, never kept."""

    def __init__(self, number: int, events: int, interval_ms: int) -> None:
        self.number = number
        self.wrong = ""
        self.first = 0.0
        self.begun = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self._events, self._interval = events, interval_ms
        self._at = 0
        self._expected = b""
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        play = {"number": self.number, "events": self._events, "interval_ms": self._interval}
        metadata = {key: str(value) for key, value in play.items()}
        fields = {"model": "m", "messages": [{"role": "user", "content": "go"}], "stream": True, "metadata": metadata}
        self.sent = time.monotonic()
        transport.write(chat_request(fields))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            self._fail(f"{problem}: {data[:100]!r}")

    def on_body(self, data: bytes) -> None:
        if not self.begun.done():
            self.first = time.monotonic() - self.sent
            self.begun.set_result(None)
        while len(self._expected) < len(data) and self._at <= self._events:
            self._expected += word(self.number, self._at) if self._at < self._events else LAST
            self._at += 1
        if not self._expected.startswith(data):
            self._fail(f"other bytes than were sent: {data[:300]!r}")
        self._expected = self._expected[len(data) :]

    def on_message_complete(self) -> None:
        if self._expected or self._at <= self._events:
            self._fail(f"it ended after {self._at} words")
        if self._parser.get_status_code() != 200:
            self._fail(f"status {self._parser.get_status_code()}")
        self._end()

    def connection_lost(self, problem: Exception | None) -> None:
        self._fail(f"the connection was lost: {problem}")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.wrong = self.wrong or why
            self._end()

    def _end(self) -> None:
        for waited in (self.begun, self.done):
            if not waited.done():
                waited.set_result(None)
        self._transport.close()


async def run(port: int, count: int, events: int, interval_ms: int) -> None:
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(AT_ONCE)
    clients: list[StreamClient] = []

    async def one(number: int) -> None:
        client = StreamClient(number, events, interval_ms)
        clients.append(client)
        async with room:
            await loop.create_connection(lambda: client, "127.0.0.1", port)
            await asyncio.wait_for(client.begun, FIRST)

    await asyncio.gather(*map(one, range(count)))
    say("running")
    patience = FIRST + 2 * events * interval_ms / 1000
    await asyncio.wait([client.done for client in clients], timeout=patience)
    wrong = [(client.number, client.wrong) for client in clients if client.wrong]
    missing = [(client.number, "it does not end") for client in clients if not client.done.done()]
    slowest = max(client.first for client in clients)
    say({"complete": count - len(wrong) - len(missing), "wrong": (wrong + missing)[:5], "first": round(slowest, 3)})


if __name__ == "__main__":
    many_files()
    uvloop.run(run(*map(int, sys.argv[1:5])))
