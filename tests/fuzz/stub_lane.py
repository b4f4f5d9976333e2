"""A lane that answers as the scenario says: each request that begins takes the next of its manners.

whole N     N bytes at once, whatever the request's body does     stream N   N chunks, after the body was read
echo N      the body, read with N bytes as its limit              paced N    N chunks, each after a `go`
pieces N    the same, taken piece by piece                        length N   N bytes behind a head that says so
late N      N bytes, after a `go`                                 short N    one byte less than the head says
hasty       the body's clock runs out at a `go`: 408              over_long N  one more: refused
bare N      status 204 or 304, with bytes that must not go out    leaving    like `whole`, of a process that goes
unsafe      a header that would be two lines: refused, then 500   abort N    cut after N bytes of a stream
nothing     whoever should answer gives up
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway._fast import ClientConnection, ReplyHeads, Request

HEADERS = {"content-type": "text/plain"}
LIMIT = 1 << 20
REFUSAL = b"malformed"
MANNERS = (
    "whole", "echo", "pieces", "late", "hasty", "bare", "unsafe", "nothing", "stream", "paced", "length", "short",
    "over_long", "leaving", "abort",
)  # fmt: skip
READS = ("echo", "stream", "pieces", "paced")  # of these every byte of the body is waited for


class Refuse(Exception):
    """The request is answered with this status."""


@dataclass(eq=False)
class Served:
    """One request that has begun, what was read of it, and what it was answered."""

    request: Request | None  # until it is over
    manner: str
    number: int
    method: str
    target: bytes
    minor: int
    waits: bool
    begun_at: int
    body: bytes | None = None
    status: int = 0
    said: bytes = b""
    spoken: bool = False  # all of the answer has been given to the connection
    ending: str = ""
    gone: int = 0


class StubLane:
    def __init__(self, loop: asyncio.AbstractEventLoop, wait: Callable[[], asyncio.Future[None]]) -> None:
        self.heads = ReplyHeads(server="stage")
        self.leaving = False
        self.manners: deque[tuple[str, int]] = deque()
        self.served: list[Served] = []
        self.joins = self.leaves = self.refusals = 0
        self.trouble = ""
        self.task: asyncio.Task[None] | None = None
        self.read_so_far: Callable[[], int] = lambda: 0
        self.escaped: Callable[[asyncio.Task[None]], None] = lambda task: None
        self._loop = loop
        self._wait = wait

    # what a connection asks

    def joined(self, connection: ClientConnection) -> None:
        self.joins += 1

    def left(self, connection: ClientConnection) -> None:
        self.leaves += 1

    def refusal(self, kind: str, reason: str, peer: str | None) -> tuple[int, Mapping[str, str], bytes]:
        self.refusals += 1
        self.reason = reason
        return 408 if kind == "late" else 400, HEADERS, REFUSAL

    def begin(self, request: Request) -> None:
        if self.served and not self.served[-1].spoken:
            self.trouble = "a request begins before the one before it was answered"
        manner, number = self.manners.popleft() if self.manners else ("echo", LIMIT)
        target = request.target.encode("utf-8", "surrogateescape")
        minor, waits = request.version[1], "expect" in request.headers
        served = Served(request, manner, number, request.method, target, minor, waits, self.read_so_far())
        self.served.append(served)
        self.leaving = manner == "leaving"
        request.limit = LIMIT
        request.task = self.task = self._loop.create_task(self._answer(served, request))
        self.task.add_done_callback(self.escaped)

    def gone(self, request: Request) -> None:
        served = self.served[-1]
        served.gone += 1
        if served.request not in (request, None) or not request.gone:  # None: it was given up, and cut
            self.trouble = "gone is told of another request than runs"
        self.cancel()

    def cancel(self) -> None:
        """As a deadline or a drain does it, or the client's leaving."""
        if self.task is None or self.task.done():
            return
        self.task.cancel()
        if inspect.getcoroutinestate(self.task.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]
            self._over(self.served[-1], "cancelled")  # it will never run

    async def _read(self, request: Request, limit: int) -> bytes:
        """As lanes/fast_body.py does it for a plain body."""
        while (arrival := request.arrival()) is not None:
            await arrival
        if request.gone:
            raise ConnectionResetError
        if request.broken is not None:
            raise Refuse(400)
        if request.oversized:
            raise Refuse(413)
        return request.pieces()

    def read(self, request: Request, limit: int) -> Awaitable[bytes]:
        return self._read(request, limit)

    # the answers

    async def _answer(self, served: Served, request: Request) -> None:
        ending = "answered"
        try:
            await self._answer_or_refuse(served, request)
        except ConnectionResetError:
            ending = "reset"
        except asyncio.CancelledError:
            ending = "cancelled"
        except GivenUp:
            ending = "given up"
        finally:
            self._over(served, ending)

    async def _answer_or_refuse(self, served: Served, request: Request) -> None:
        try:
            await getattr(self, f"_{served.manner}", self._whole)(served, request, served.number)
            return
        except Refuse as refused:
            status = int(refused.args[0])
        await self._send(served, request, status, b"")

    def _over(self, served: Served, ending: str) -> None:
        if served.ending:
            self.trouble = f"ended twice: {served.ending}, {ending}"
        served.ending = ending
        request, served.request = served.request, None
        if request is not None:
            request.close()
        self.task = None

    async def _send(self, served: Served, request: Request, status: int, body: bytes) -> None:
        self._says(served, status, b"" if status in (204, 304) else body)
        served.spoken = True
        await done(request.send(status, HEADERS, body))

    async def _end(self, served: Served, request: Request) -> None:
        served.spoken = True
        await done(request.end())

    def _says(self, served: Served, status: int, body: bytes = b"") -> int:
        served.status, served.said = status, body
        return status

    async def _body(self, served: Served, request: Request, limit: int) -> bytes:
        read = request.read(limit)
        served.body = read if isinstance(read, bytes) else await read
        return served.body

    async def _whole(self, served: Served, request: Request, number: int) -> None:
        body = b"w" * min(number, LIMIT)
        await self._send(served, request, 200, body)

    async def _leaving(self, served: Served, request: Request, number: int) -> None:
        await self._whole(served, request, 4)

    async def _late(self, served: Served, request: Request, number: int) -> None:
        await self._wait()
        await self._whole(served, request, number)

    async def _echo(self, served: Served, request: Request, number: int) -> None:
        body = await self._body(served, request, number)
        await self._send(served, request, 200, body)

    async def _pieces(self, served: Served, request: Request, number: int) -> None:
        request.limit, body = number, b""
        while True:
            arrival = request.arrival(each=True)
            body += request.pieces()
            if arrival is None:
                break
            await arrival
        if request.gone:
            raise ConnectionResetError
        if request.broken is not None or request.oversized:
            raise Refuse(413 if request.oversized else 400)
        served.body = body
        await self._send(served, request, 200, body)

    async def _hasty(self, served: Served, request: Request, number: int) -> None:
        arrival = request.arrival()
        if arrival is not None:
            await asyncio.wait({arrival, self._wait()}, return_when=asyncio.FIRST_COMPLETED)
            request.late = not arrival.done()
        raise Refuse(408)

    async def _stream(self, served: Served, request: Request, number: int) -> None:
        await self._body(served, request, LIMIT)
        await self._chunks(served, request, min(number, 50))

    async def _paced(self, served: Served, request: Request, number: int) -> None:
        await self._body(served, request, LIMIT)
        await self._chunks(served, request, min(number, 10), paced=True)

    async def _chunks(self, served: Served, request: Request, count: int, *, paced: bool = False) -> None:
        request.begin(self._says(served, 200, b"".join(map(chunk, range(count)))), HEADERS)
        for number in range(count):
            if paced:
                await self._wait()
            await done(request.write(chunk(number)))
        await self._end(served, request)

    async def _length(self, served: Served, request: Request, number: int, less: int = 0) -> None:
        body = b"l" * max(1, min(number, LIMIT))
        said = {**HEADERS, "content-length": str(len(body))}
        request.begin(self._says(served, 200, body), said)
        await done(request.write(body[: len(body) // 2]))
        await done(request.write(body[len(body) // 2 : len(body) - less] + b"l" * -less))
        await self._end(served, request)

    async def _short(self, served: Served, request: Request, number: int) -> None:
        await self._length(served, request, number, 1)

    async def _over_long(self, served: Served, request: Request, number: int) -> None:
        try:
            await self._length(served, request, number, -1)
        except ValueError:
            raise GivenUp from None
        self.trouble = "more bytes than the head said" if served.method != "HEAD" else ""

    async def _bare(self, served: Served, request: Request, number: int) -> None:
        await self._send(served, request, 204 if number % 2 else 304, b"not to be sent")

    async def _unsafe(self, served: Served, request: Request, number: int) -> None:
        for name, value in (("x", "a\r\nb: c"), ("x\r\ny", "z"), ("x", "a\0b"), ("connection", "close"), ("", "x")):
            try:
                request.send(200, {name: value}, b"")
            except ValueError:
                continue
            self.trouble = f"the header {name!r}: {value!r} was sent"
        raise Refuse(500)

    async def _abort(self, served: Served, request: Request, number: int) -> None:
        request.begin(self._says(served, 200, b"a" * number), HEADERS)
        await done(request.write(b"a" * max(1, min(number, LIMIT))))
        request.abort()
        raise GivenUp

    async def _nothing(self, served: Served, request: Request, number: int) -> None:
        raise GivenUp


class GivenUp(Exception):
    """No answer comes, as the scenario wants."""


async def done(waiting: Awaitable[None] | None) -> None:
    if waiting is not None:
        await waiting


def chunk(number: int) -> bytes:
    return b"chunk %d;" % number * (1 + number % 3 * 100)
