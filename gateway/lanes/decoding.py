"""gzip and deflate bodies, decoded step by step.

aiohttp could decode by itself, but it decodes what we refuse, takes an unfinished body for a finished one
and gives up the connection over a broken one. The rules:

* No step gives more than `STEP` bytes, so whoever counts them can stop a bomb before it is in memory.
* gzip may consist of several members; deflate is zlib's format, or raw as some clients mean it.
* What ends too early, goes on after its end or is no such format is the client's mistake: 400.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from gateway import errors
from gateway.errors import GatewayError

STEP = 256 << 10  # bytes
ENCODINGS = ("identity", "gzip", "deflate")
_GZIP = 16 + zlib.MAX_WBITS


class Decoder:
    """Decodes one body."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream: zlib._Decompress | None = None
        self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded form of the body's next piece."""
        if self._encoding == "identity":
            yield data
            return
        try:
            while data:
                stream = self._stream or self._begin(data)
                yield stream.decompress(data, STEP)
                data = stream.unconsumed_tail
                if stream.eof:
                    data, self._stream, self._ended = stream.unused_data, None, True
        except zlib.error as problem:
            raise self._refusal("is not valid") from problem

    def finish(self) -> bytes:
        """What was still held, at the body's end."""
        if self._stream is None:
            return b""
        rest = self._stream.flush()
        if not self._stream.eof:
            raise self._refusal("ends too early for")
        return rest

    def _begin(self, data: bytes) -> zlib._Decompress:
        if self._encoding == "gzip":
            window = _GZIP
        elif self._ended:
            raise self._refusal("goes on after the end of its")
        else:
            window = zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS
        self._stream = zlib.decompressobj(window)
        return self._stream

    def _refusal(self, problem: str) -> GatewayError:
        return GatewayError(errors.VALIDATION, f"the body {problem} {self._encoding} (content-encoding)")


def too_large(what: str, limit: int) -> GatewayError:
    """A body that is refused for its size."""
    return GatewayError(errors.PAYLOAD_TOO_LARGE, f"{what} exceeds the {limit} bytes allowed (server.max_body)")
