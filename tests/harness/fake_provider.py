"""A provider that plays scripted bytes over a real socket, in a thread of its own.

An answer is a list of steps: bytes are sent as they are (head included, so anything can be said), a float
is a pause in seconds, `RESET`, `CLOSE` and `HANG` end it. `provider.answer(...)` queues answers, one per
request; the last one stays. A function may take the place of the steps: it is given what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

RESET, CLOSE, HANG = "reset", "close", "hang"
Step = bytes | float | str
Steps = Sequence[Step]
REASONS = {200: "OK"}


@dataclass
class Seen:
    """One request as it arrived. `left` is set when the other side closed before the answer was complete."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    head: bytes = b""
    left: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def whole(body: bytes | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> list[Step]:
    """A length-framed answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return [f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}\r\n{head}\r\n".encode() + data]


def chunked(
    parts: Iterable[Step], status: int = 200, content_type: str = "text/event-stream", end: bool = True
) -> list[Step]:
    """A chunked answer: each bytes part is one chunk and one write."""
    steps: list[Step] = [
        f"HTTP/1.1 {status} OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    ]
    steps += [b"%x\r\n%b\r\n" % (len(part), part) if isinstance(part, bytes) else part for part in parts]
    return [*steps, b"0\r\n\r\n"] if end else steps


def events(
    *texts: str, finish: str | None = "stop", usage: dict[str, int] | None = None, done: bool = True
) -> list[bytes]:
    """A chat stream's events: role, one per text, finish, usage, [DONE]."""

    def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"

    head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    said = [event({"role": "assistant", "content": ""}), *(event({"content": text}) for text in texts)]
    if finish is not None:
        said.append(event({}, finish))
    if usage is not None:
        said.append(b"data: " + json.dumps({**head, "choices": [], "usage": usage}).encode() + b"\n\n")
    if done:
        said.append(b"data: [DONE]\n\n")
    return said


class FakeProvider:
    """Serves on a free port of 127.0.0.1 until the ``with`` block ends."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0  # ever made
        self.open = 0
        self._answers: deque[Steps | Callable[[Seen], Steps]] = deque()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, *answers: Steps | Callable[[Seen], Steps]) -> None:
        """These answers from now on, in turn; the last one stays."""
        self._answers = deque(answers)

    def __enter__(self) -> FakeProvider:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=4096))
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """One request and its answer; true when the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        seen = Seen(method, path, headers, body, number, head)
        self.seen.append(seen)
        script = self._answers[0] if len(self._answers) == 1 else self._answers.popleft()
        steps = script(seen) if callable(script) else script
        playing = asyncio.ensure_future(self._play(steps, writer))
        leaving = asyncio.ensure_future(reader.read(1))
        await asyncio.wait([playing, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing
            leaving.exception()
            seen.left.set()
            return False
        goes_on = playing.exception() is None and playing.result()
        if playing.exception() is not None:
            seen.left.set()
        seen.answered.set()
        if leaving.done():
            leaving.exception()
            return False
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving
        return goes_on

    async def _play(self, steps: Steps, writer: asyncio.StreamWriter) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float | int):
                await asyncio.sleep(step)
            elif step == HANG:
                await asyncio.Event().wait()
            else:
                if step == RESET:
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        return True
