"""HTTP/1.1 by hand, over one socket: what no well-behaved client library would send.

Every wait has a ceiling, so a server that says nothing fails a test instead of hanging it.
"""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

CEILING = 20.0  # seconds
CHAT = "/v1/chat/completions"
HELLO = b'{"model":"echo","messages":[{"role":"user","content":"hello there"}]}'


@dataclass
class Answer:
    """A complete answer. `close_framed`: only the connection's end told where its body ends."""

    status: int
    headers: dict[str, str]
    body: bytes
    close_framed: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails unless it has exactly our shape."""
        said = self.json
        assert set(said) == {"error"}, said
        assert set(said["error"]) == {"message", "type", "param", "code"}, said
        assert self.headers["content-type"] == "application/json"
        return dict(said["error"])


class Wire:
    """One connection."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection((host, port), timeout=CEILING)
        if tls is not None:  # an end without a goodbye is an error
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost", suppress_ragged_eofs=False)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def ask(self, data: bytes, *, method: str = "POST") -> Answer:
        return self.send(data).answer(method=method)

    def answer(self, *, method: str = "POST") -> Answer:
        """The next complete answer; `method` says whether a body may follow its head."""
        status, headers = self.head()
        if method == "HEAD" or status < 200:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, self.chunks())
        if "content-length" in headers:
            return Answer(status, headers, self.take(int(headers["content-length"])))
        return Answer(status, headers, self._file.read(), close_framed=True)

    def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = self._line_block()
        version, status, _ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        assert len({name for name, _ in pairs}) == len(pairs), f"a header twice: {pairs}"
        return int(status), dict(pairs)

    def take(self, size: int) -> bytes:
        data = self._file.read(size)
        assert len(data) == size, f"the connection ended {size - len(data)} bytes too early"
        return data

    def line(self) -> bytes:
        return self._file.readline()

    def rest(self) -> bytes:
        """Everything until the server closes."""
        return self._file.read()

    def is_closed(self) -> bool:
        """Waits for the server's next move; true when that is to close."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def _line_block(self) -> list[str]:
        lines: list[str] = []
        while (line := self._file.readline()) != b"\r\n":
            assert line, f"the connection ended inside a head: {lines}"
            lines.append(line.decode("latin-1").rstrip("\r\n"))
        return lines

    def chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int(self._file.readline(), 16):
            parts.append(self.take(size))
            assert self._file.readline() == b"\r\n"
        assert self._file.readline() == b"\r\n"
        return b"".join(parts)


def request(
    body: bytes | None = None,
    *,
    method: str = "POST",
    path: str = CHAT,
    headers: dict[str, str] | None = None,
    version: str = "1.1",
) -> bytes:
    """A request's bytes; its length is declared unless `headers` frame it otherwise."""
    lines = {"Host": "gateway.test", **(headers or {})}
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in lines}
    if body is not None and not framed:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode("latin-1") + (body or b"")


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
