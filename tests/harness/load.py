"""Steady load whose every lost request is counted, from a thread of its own.

Three kinds of clients, each in a loop until `stop`, which lets them finish what they have begun:

* ``kept``: whole answers over one connection, as long as the server keeps it;
* ``fresh``: a connection for every request;
* ``streams``: streams over kept connections; every word must arrive, and ``[DONE]`` last.

A request is lost when it gets anything but its whole right answer with status 200. A kept connection that has
ended between two answers is no loss: whoever looks before sending sees it, as nginx does.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.harness.waiting import eventually

ENDS = {b"chunked": b"\r\n0\r\n\r\n"}
PATIENCE = 60.0  # seconds for one answer


@dataclass(frozen=True, slots=True)
class Lost:
    """One request that got no answer or a wrong one. `port` is its client's; 0: it was never connected."""

    kind: str
    port: int
    connected: float  # monotonic
    at: float
    why: str


class Load:
    """Runs from `__enter__` to `stop` or the end of the ``with`` block."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        kept: int = 0,
        fresh: int = 0,
        streams: int = 0,
        words: int = 40,
        pause: float = 0.01,
        model: str = "echo",
        seed: int = 1,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answered: Counter[str] = Counter()
        self.lost: list[Lost] = []
        self.slowest: dict[str, float] = {}
        self.running = 0  # streams whose first byte has come, not yet ended
        self._address = address
        self._tls = tls
        self._numbers = {"kept": kept, "fresh": fresh, "stream": streams}
        self._model, self._words, self._pause = model, words, pause
        self._dice = random.Random(seed)
        self._stopping = False
        self._begun = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """No new requests; those that run end first."""
        self._stopping = True
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), "the load does not end"
        if self._failed is not None:
            raise self._failed

    def goes_on(self) -> None:
        """Wait until every kind has had a further request answered, and all streams run."""
        before = dict(self.answered)

        def further() -> bool:
            assert self._thread.is_alive(), self._failed
            whole = [kind for kind, number in self._numbers.items() if number and kind != "stream"]
            more = all(self.answered[kind] > before.get(kind, 0) for kind in whole)
            return more and self.running >= min(1, self._numbers["stream"])

        eventually(further, ceiling=2 * PATIENCE, what="answers to the load")

    def loses_nothing(self) -> None:
        assert not self.lost, f"{len(self.lost)} of {sum(self.answered.values())} lost: {self.lost[:5]}"

    def _run(self) -> None:
        try:
            asyncio.run(self._clients())
        except BaseException as problem:
            self._failed = problem

    async def _clients(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind, number in self._numbers.items():
                for _ in range(number):
                    group.create_task(self._client(kind, random.Random(self._dice.random())))

    async def _client(self, kind: str, dice: random.Random) -> None:
        connection = Connection(self._address, self._tls)
        await asyncio.sleep(dice.random() * max(self._pause, 0.1))
        while not self._stopping:
            text = " ".join(f"w{dice.randrange(1000)}" for _ in range(self._words))
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._one(connection, kind, text)
            except (TimeoutError, OSError, EOFError, ValueError) as problem:
                why = f"{type(problem).__name__}: {problem}"
                self.lost.append(Lost(kind, connection.port, connection.connected, time.monotonic(), why))
                connection.close()
            else:
                self.answered[kind] += 1
                self.slowest[kind] = max(self.slowest.get(kind, 0.0), time.monotonic() - began)
            if kind == "fresh":
                connection.close()
            await asyncio.sleep(self._pause * (0.5 + dice.random()))
        connection.close()

    async def _one(self, connection: Connection, kind: str, text: str) -> None:
        await connection.ask(self._model, text, stream=kind == "stream")
        if kind != "stream":
            said = json.loads(await connection.rest())["choices"][0]["message"]["content"]
        else:
            self.running += 1
            try:
                said = spoken(await connection.rest())
            finally:
                self.running -= 1
        if said != text:
            raise ValueError(f"{said[-60:]!r} is not the answer")


class Connection:
    """A kept connection, made anew when it has ended."""

    def __init__(self, address: tuple[str, int] | str, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._tls = tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._head = b""
        self._ends = False
        self.port = 0
        self.connected = 0.0

    async def ask(self, model: str, text: str, *, stream: bool) -> None:
        """Send a request and read its answer's head."""
        if self._streams is None or self._ends or self._streams[0].at_eof() or self._streams[1].is_closing():
            await self._connect()
        assert self._streams is not None
        reader, writer = self._streams
        fields = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
        writer.write(chat_request(fields))
        self._head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self._ends = b"connection: close" in self._head
        if not self._head.startswith(b"http/1.1 200 "):
            raise ValueError(f"{self._head!r} {(await self.rest())[:300]!r}")

    async def rest(self) -> bytes:
        """The body."""
        assert self._streams is not None
        reader, _ = self._streams
        _, found, length = self._head.partition(b"content-length: ")
        if found:
            return await reader.readexactly(int(length.partition(b"\r")[0]))
        parts = b"\r\n"
        while not parts.endswith(ENDS[b"chunked"]):
            more = await reader.read(1 << 16)
            if not more:
                raise EOFError(f"the stream was cut after {len(parts)} bytes: {parts[-80:]!r}")
            parts += more
        return parts

    def close(self) -> None:
        if self._streams is not None:
            if self._tls is None:
                self._streams[1].close()
            else:  # it has all it asked for; asyncio would wait for the other side's goodbye
                self._streams[1].transport.abort()
        self._streams = None

    async def _connect(self) -> None:
        self.close()
        self.port, self._ends, self.connected = 0, False, time.monotonic()
        if isinstance(self._address, str):
            self._streams = await asyncio.open_unix_connection(self._address)
        else:
            name = None if self._tls is None else "localhost"
            self._streams = await asyncio.open_connection(*self._address, ssl=self._tls, server_hostname=name)
            self.port = self._streams[1].get_extra_info("sockname")[1]
        self.connected = time.monotonic()


def chat_request(fields: dict[str, Any]) -> bytes:
    body = json.dumps(fields).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def spoken(chunks: bytes) -> str:
    """The words of a chunked chat stream. ValueError when it is not complete."""
    lines = [line for line in chunks.split(b"\n") if line.startswith(b"data: ")]
    if not lines or lines[-1].strip() != b"data: [DONE]":
        raise ValueError(f"a stream that ends with {chunks[-200:]!r}")
    events = [json.loads(line[6:]) for line in lines[:-1]]
    errors = [event["error"] for event in events if "error" in event]
    if errors:
        raise ValueError(f"an error in the stream: {errors}")
    choices = [choice for event in events for choice in event["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
