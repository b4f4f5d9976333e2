"""A client that is only a socket, so that it can leave or stall wherever it likes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from typing import Any

from tests.harness import Gateway


def request(*, stream: bool = True, padding: int = 0, **fields: Any) -> bytes:
    """A chat request as bytes; `padding` makes its body larger by so much."""
    text = "hello" + "x" * padding
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream, **fields}
    ).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def calls(gateway: Gateway) -> list[dict[str, Any]]:
    """The access lines of chat requests."""
    return [line for line in gateway.access if line["path"] == "/v1/chat/completions"]


def unchunked(data: bytes) -> bytes:
    """A chunked body's content."""
    parts, at = [], 0
    while True:
        line = data.index(b"\r\n", at)
        size = int(data[at:line], 16)
        parts.append(data[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
        if size == 0:
            return b"".join(parts)


class WireClient:
    """One connection. `buffer` bounds what the kernel takes in for it."""

    def __init__(self, port: int, *, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.data = b""

    def __enter__(self) -> WireClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_until(self, mark: bytes) -> float:
        """When `mark` has come, on the monotonic clock."""
        while mark not in self.data:
            got = self.socket.recv(65536)
            assert got, f"it ended with {self.data[-300:]!r}"
            self.data += got
        return time.monotonic()

    def read_to_end(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            while got := self.socket.recv(65536):
                self.data += got
        return self.data

    def hurry(self) -> None:
        """From now on it takes as much as others."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def leave(self, how: str) -> None:
        """``close`` (FIN), ``reset`` (RST), or ``half``: a FIN alone, which is leaving too."""
        if how == "half":
            self.socket.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
