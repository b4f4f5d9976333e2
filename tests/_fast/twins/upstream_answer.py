"""How an answer is read, once more and another way: from all of its bytes at once, with regular expressions.

The compiled connection reads bytes as they come; whatever it says must be what is said here of the whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
STATUS = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3})(?: [^\r\n]*)?\r\n")
LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")
CHUNK = re.compile(rb"([0-9a-fA-F]+)(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
HEAD_LARGEST, LINE_LARGEST, LINES_MOST = 65536, 16384, 128


@dataclass
class Told:
    """What an answer was. Its `fate`: ended, broken (the body), refused (the head), lost (no head), open."""

    fate: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    kept: bool = False


def read(said: bytes, closed: bool) -> Told:
    """`said`: all that came; `closed`: and then the connection ended, as it should."""
    at = 0
    while True:
        head = _head(said, at)
        if head is None:
            return Told("lost" if closed else "open")
        if isinstance(head, str):
            return Told("refused")
        minor, status, lines, at = head
        if status >= 200:
            break
    if (refused := _refused(minor, status, lines)) or at > HEAD_LARGEST:
        return Told(refused or "refused")
    headers = {name.decode().lower(): value.decode("utf-8", "surrogateescape") for name, value in lines}
    fate, body, at = _body(said, at, status, headers, closed)
    close = "close" in re.split(r"[ \t]*,[ \t]*", headers.get("connection", "").lower())
    framed = "content-length" in headers or "transfer-encoding" in headers or status in (204, 304)
    kept = fate == "ended" and framed and not close and minor == 1 and not closed and not said[at:].strip(b"\r\n")
    return Told(fate, status, headers, body, kept)


def _head(said: bytes, at: int) -> tuple[int, int, list[tuple[bytes, bytes]], int] | str | None:
    """A head and where it ends; a word if it is none, nothing if it is not here yet."""
    end = said.find(b"\r\n\r\n", at)
    if end < 0:
        return "refused" if len(said) > HEAD_LARGEST else None
    text = said[at : end + 2]
    status = STATUS.match(text)
    if (
        status is None
        or status[1] != b"1"
        or status[2] not in b"01"
        or not int(status[3]) >= 100
        or status[3] == b"101"
    ):
        return "refused"
    lines = []
    start = status.end()
    while start < len(text):
        line = LINE.match(text, start)
        if line is None:
            return "refused"
        lines.append((line[1], line[2].strip(b" \t")))
        start = line.end()
    return int(status[2]), int(status[3]), lines, end + 4


def _refused(minor: int, status: int, lines: list[tuple[bytes, bytes]]) -> str:
    lengths = [value for name, value in lines if name.lower() == b"content-length"]
    codings = [value.lower() for name, value in lines if name.lower() == b"transfer-encoding"]
    wrong = (
        len(lines) > LINES_MOST
        or any(len(name) + len(value) > LINE_LARGEST for name, value in lines)
        or len(lengths) > 1
        or not all(re.fullmatch(rb"[0-9]+", length) for length in lengths)
        or bool(codings and (codings != [b"chunked"] or lengths or minor == 0))
    )
    return "refused" if wrong else ""


def _body(said: bytes, at: int, status: int, headers: dict[str, str], closed: bool) -> tuple[str, bytes, int]:
    if status in (204, 304):
        return "ended", b"", at
    if "transfer-encoding" in headers:
        return _chunks(said, at, closed)
    if "content-length" not in headers:
        return ("ended" if closed else "open"), said[at:], len(said)
    end = at + int(headers["content-length"])
    if len(said) >= end:
        return "ended", said[at:end], end
    return ("broken" if closed else "open"), said[at:], len(said)


def _chunks(said: bytes, at: int, closed: bool) -> tuple[str, bytes, int]:
    body = b""
    unfinished = "broken" if closed else "open"
    while True:
        size = CHUNK.match(said, at)
        if size is None:
            return ("broken" if b"\n" in said[at:] else unfinished), body, at
        at, count = size.end(), int(size[1], 16)
        if count >> 64:
            return "broken", body, at
        if not count:
            break
        body += said[at : at + count]
        at += count
        if len(said) < at + 2:
            return ("broken" if said[at:] not in (b"", b"\r") else unfinished), body, at
        if said[at : at + 2] != b"\r\n":
            return "broken", body, at
        at += 2
    while not said.startswith(b"\r\n", at):
        trailer = LINE.match(said, at)
        if trailer is None or trailer[1].lower() == b"content-length":
            return ("broken" if b"\n" in said[at:] else unfinished), body, at
        at = trailer.end()
    return "ended", body, at + 2
