"""Answers in an encoding although we asked for none: gzip and deflate are decoded, anything else is refused.

* No step gives more than `STEP` bytes, so that whoever counts them can stop a bomb before it is in memory.
* gzip may have several members; deflate is zlib's format, or raw as some servers mean it.
* What ends too early, goes on after its end or is no such format breaks the answer off.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Generator, Mapping

from gateway import errors
from gateway._fast import UpstreamAnswer
from gateway.contracts import Feed
from gateway.errors import GatewayError
from gateway.upstream import failures

STEP = 256 << 10  # bytes
GZIP = ("gzip", "x-gzip")
LONGEST = 40  # characters of an encoding's name that are shown


def refusal(provider: str, encoding: str) -> GatewayError | None:
    """What is said of an encoding that nobody asked for and nobody here reads."""
    if encoding in (*GZIP, "deflate"):
        return None
    shown = encoding[:LONGEST].encode("ascii", "replace").decode()
    return GatewayError(errors.NONSENSE, f"{provider} answered in an encoding that nobody asked for ({shown})")


class DecodedAnswer:
    """An `UpstreamAnswer` whose body comes decoded."""

    def __init__(self, provider: str, answer: UpstreamAnswer) -> None:
        self._provider = provider
        self._answer = answer
        self._gzip = answer.encoding in GZIP
        self._stream: zlib._Decompress | None = None
        self._ended = False
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._feed: Feed

    async def push(self, feed: Feed) -> None:
        self._feed = feed
        await self._answer.push(self._part)
        if self._stream is not None:
            raise self._broken("its encoding ends too early")

    def close(self) -> None:
        self._answer.close()

    def _part(self, data: bytes) -> Awaitable[None] | None:
        return self._give(self._decoded(data))

    def _give(self, pieces: Generator[bytes]) -> Awaitable[None] | None:
        for piece in pieces:
            if piece and (waiting := self._feed(piece)) is not None:
                return self._go_on(waiting, pieces)
        return None

    async def _go_on(self, waiting: Awaitable[None], pieces: Generator[bytes]) -> None:
        """The receiver was behind: the rest of this part when it is ready."""
        await waiting
        for piece in pieces:
            if piece and (more := self._feed(piece)) is not None:
                await more

    def _decoded(self, data: bytes) -> Generator[bytes]:
        while data:
            try:
                stream = self._stream or self._begin(data)
                piece = stream.decompress(data, STEP)
            except zlib.error as problem:
                raise self._broken("its encoding is not valid") from problem
            data, self._stream = stream.unconsumed_tail, stream
            if stream.eof:
                data, self._stream, self._ended = stream.unused_data, None, True
            yield piece

    def _begin(self, data: bytes) -> zlib._Decompress:
        if self._gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        if self._ended:
            raise self._broken("it goes on after the end of its encoding")
        return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)

    def _broken(self, reason: str) -> GatewayError:
        return failures.broken_off(self._provider, reason)
