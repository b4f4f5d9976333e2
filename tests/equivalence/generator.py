"""Requests as nobody would think of them all: sound, odd and broken, several on a connection, cut anywhere.

A request is put together from its parts, each mostly as it should be; then single bytes may be changed. All of it comes
from the dice alone, so a seed and a number name a script for good.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from dataclasses import dataclass, field

from tests.equivalence.conversation import Script, bytewise, one
from tests.equivalence.stage import CHAT, MAX_BODY

# What is tried in place of a part: mostly first what is sound, then what is odd, then what is broken.
METHODS = [
    b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"QUERY", b"PROPFIND", b"M-SEARCH", b"LINK",
    b"PRI", b"SOURCE", b"get", b"Post", b"POSTX", b"POS", b"BREW", b"CONNECT", b"", b"PO ST", b"POST\t", b"P\x00ST",
    b"P\xc3\xb6ST", b"G" * 200, b"SETUP", b"DESCRIBE", b"FLUSH",
]  # fmt: skip
TARGETS = [
    b"/live", b"/v1/models", b"/v1/models/echo", b"/v1/models/org%2Fmodel", b"/v1/models/org/model", b"/nope", b"/",
    b"/v1/embeddings", b"/v1/completions", CHAT.encode() + b"?a=b", CHAT.encode() + b"#f", CHAT.encode() + b"/",
    b"//v1/models", b"/v1/../live", b"/./live", b"/v1/chat%2Fcompletions", b"/%ff", b"/caf\xc3\xa9", b"/\xff",
    b"/a?b?c", b"/live?", b"/live#", b"/live;x=1", b"/li%76e", b"/live\\", b"/a|b", b"/{x}", b'/"', b"/<", b"/[",
    b"/^`", b"http://other.test/live", b"http://other.test" + CHAT.encode(), b"HTTP://other.test/live",
    b"https://a/live", b"http://other.test", b"http://other.test?x", b"http://user:pw@other.test/live",
    b"http://[::1]:80/live", b"http:///live", b"http:/live", b"http://a:b/live", b"ftp://a/live", b"urn:x:y", b"*",
    b"other.test:80", b"live", b"", b"/a b", b"/a\tb", b"/\x00", b"/\x7f", b"/\x0b", b"/\r", b"/a\r\nx: y", b"?", b"#",
    b"@", b"[", b"/" + b"n" * 15_000, b"/" + b"n" * 16_380, b"/" + b"n" * 17_000,
]  # fmt: skip
VERSIONS = [
    b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.10", b"HTTP/1", b"HTTP/11",
    b"http/1.1", b"HTTP/01.1", b"HTTP/1.1 ", b"HTTP/1.1x", b"HTTP /1.1", b"HTTPS/1.1", b"ICE/1.0", b"RTSP/1.0",
    b"HTTP/9.9", b"", b"HTTP/1.\x00",
]  # fmt: skip
GAPS = [b"  ", b"\t", b"", b" \t", b"\x0b", b"\xa0"]
LINE_ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n\r\n"]
PREFIXES = [b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\x00", b"\xef\xbb\xbf", b"\r\n " * 3]
HOSTS = [
    b"", b"a b", b"a,b", b"a/b", b"[::1]:80", b"[::1", b"a:b", b"a:99999", b"a@b", b"h\xc3\xb6st", b"\xff", b"a\tb",
    b"other.test:80", b"*", b'"a"', b"a\x00b", b"x" * 300,
]  # fmt: skip
NAMES = [
    b"X-A", b"x_a", b"X.A", b"!#$%&'*+-.^_`|~0", b"1", b"", b"X A", b" X-A", b"\tX-A", b"X-A ", b"X-A\t", b"X\x00A",
    b"X\xc3\xa9", b"X(A)", b'X"A', b"X;A", b"X@A", b"X\x7f", b"X\rA", b"x" * 300, b":", b"Sec-WebSocket-Key1",
    b"X-Gateway-Peer", b"X-Gateway-Hop",
]  # fmt: skip
VALUES = [
    b"1", b"", b"   ", b"a\tb", b"a  b", b"caf\xc3\xa9", b"\xff\xfe", b"a\x00b", b"a\x0bb", b"a\x1bb", b"a\x7fb",
    b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb", b"a\x85b", b'"', b"a" * 8_000, b"a" * 16_300, b"a" * 17_000, b"\t",
    b"a \t ",
]  # fmt: skip
SINGLES = [
    b"Host", b"Content-Type", b"Authorization", b"User-Agent", b"Accept", b"Cookie", b"X-Request-Id", b"Connection",
    b"Expect", b"Content-Encoding", b"Referer", b"Date", b"If-Match", b"ETag", b"Location", b"Max-Forwards", b"Server",
    b"From", b"Upgrade",
]  # fmt: skip
CONNECTIONS = [
    b"close", b"keep-alive", b"Close", b"KEEP-ALIVE", b"close, keep-alive", b"keep-alive, close", b"x-a",
    b"x-a, close", b"", b"closed", b"clo\tse", b" close ", b",close", b"close,", b'"close"', b"upgrade",
    b"Upgrade, HTTP2-Settings", b"te, trailers", b"keep-alive;q=1",
]  # fmt: skip
EXPECTS = [b"100-continue", b"100-Continue", b"100-continue, x", b"200-ok", b"", b"100-continue "]
UPGRADES = [b"h2c", b"websocket", b"WebSocket", b"foo/2", b"", b"h2c, websocket", b"TLS/1.0", b"\xff"]
ENCODINGS = [
    b"gzip", b"GZIP", b"deflate", b"identity", b"br", b"gzip, gzip", b"", b"x-gzip", b"zstd", b"compress", b" gzip",
    b"*",
]  # fmt: skip
CODINGS = [
    b"chunked", b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked", b"chunked,", b",chunked", b"gzip, chunked",
    b"chunked, gzip", b"chunked, chunked", b"identity", b"xchunked", b"chunkedx", b"chunk", b"", b"gzip",
    b"\x0bchunked", b'"chunked"', b"chunked;a=b", b"identity, chunked", b"trailers, chunked",
]  # fmt: skip
LENGTHS = [
    b"+%d", b"-%d", b"0%d", b" %d", b"%d ", b"\t%d", b"%d, %d", b"%d,", b"0x%x", b"%d.0", b"%de0", b"%d\x0b", b"",
    b"abc", b"9" * 30, b"18446744073709551616", b"18446744073709551615", b"9223372036854775807", b"%d_0", b"\xd9\xa1",
    b"65537", b"65536", b"200000", b"%d;a",
]  # fmt: skip
SIZES = [
    b"%X", b"0%x", b"%x ", b" %x", b"%x\t", b"0x%x", b"+%x", b"-%x", b"%x;a", b"%x;a=b", b'%x;a="b;c"', b"%x ;a=b",
    b"%x; a", b"%xg", b"", b"%x\n", b"%x\r", b"1%x", b"f" * 16, b"f" * 17, b"0000000000000000000%x",
    b"%x;" + b"e" * 20_000, b"%x_0", b"%x;a\n", b"%x;\x00", b"%x;a=\x01", b"-0", b"%x,",
]  # fmt: skip
TRAILERS = [
    b"X-T: 1\r\n", b"Content-Length: 5\r\n", b"Host: b\r\n", b"Transfer-Encoding: chunked\r\n", b"X-T : 1\r\n",
    b"X-T\r\n", b" folded\r\n", b"X-T: a\x00\r\n", b"Connection: close\r\n", b"X-Request-Id: trailing\r\n",
    b"X-T: " + b"t" * 17_000 + b"\r\n", b"X-T: 1\n", b"Expect: 100-continue\r\n",
]  # fmt: skip
PLAYS = [
    "whole", "stream", "stream in bits", "no done", "error 400", "error 500", "error 429", "private",
    "close-framed stream",
]  # fmt: skip
NOISE = bytes([0, 9, 10, 11, 13, 32, 34, 44, 48, 58, 59, 127, 128, 255])


@dataclass
class Asked:
    """A request's parts, sound until somebody changes them."""

    method: bytes = b"POST"
    target: bytes = CHAT.encode()
    version: bytes = b"HTTP/1.1"
    headers: list[bytes] = field(default_factory=lambda: [b"Host: gateway.test"])
    body: bytes = b""
    before: bytes = b""
    gaps: tuple[bytes, bytes] = (b" ", b" ")

    def add(self, name: bytes, value: bytes, separator: bytes = b": ") -> None:
        self.headers.append(name + separator + value)

    def raw(self, dice: random.Random) -> bytes:
        head = [self.method + self.gaps[0] + self.target + self.gaps[1] + self.version, *self.headers, b""]
        ends = [dice.choice(LINE_ENDS) if dice.random() < 0.002 else b"\r\n" for _ in head]
        return self.before + b"".join(line + end for line, end in zip(head, ends, strict=True)) + self.body


def script(dice: random.Random) -> Script:
    """One connection: mostly a single request, often several, at times cut short or left."""
    raws = [request(dice) for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5)))]
    if dice.random() < 0.5:
        return one(*raws, in_turn=True)
    whole = b"".join(raws)
    chance = dice.random()
    if chance < 0.06:
        whole = whole[: dice.randrange(len(whole) + 1)]
    elif chance < 0.10:
        whole += dice.choice((b"\r\n", b"\r\n\r\n", b"\x00", b"GET", b"hello\r\n\r\n", b" "))
    return one(*pieces(whole, dice), leaves=dice.random() < 0.04)


def pieces(whole: bytes, dice: random.Random) -> tuple[bytes, ...]:
    """As one piece, at a few places, or byte by byte."""
    chance = dice.random()
    if chance < 0.55:
        return (whole,)
    if chance > 0.93 and len(whole) < 3_000:
        return bytewise(whole)
    places = sorted(dice.randrange(len(whole) + 1) for _ in range(dice.randrange(1, 6)))
    return tuple(
        whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True) if start < end
    )


def request(dice: random.Random) -> bytes:
    asked = Asked()
    if dice.random() < 0.35:
        asked.method, asked.target = dice.choice((b"GET", b"GET", b"HEAD")), dice.choice(TARGETS[:7])
    payload = content(dice) if asked.method == b"POST" or dice.random() < 0.1 else None
    for _ in range(dice.choice((0, 0, 0, 0, 1, 1, 1, 2))):
        dice.choice(CHANGES)(asked, dice)
    if payload is not None:
        frame(asked, packed(asked, payload, dice), dice)
    raw = asked.raw(dice)
    if dice.random() < 0.03:
        place = dice.randrange(len(raw) + 1)
        change = dice.choice((b"", bytes([dice.choice(NOISE)]), raw[place : place + 1] * 2))
        raw = raw[:place] + change + raw[place + dice.randrange(2) :]
    return raw


def content(dice: random.Random) -> bytes:
    """A call's body; rarely no call at all."""
    chance = dice.random()
    if chance < 0.06:
        return dice.choice((b"", b"{", b"[]", b"null", b"\xff", b" " * (MAX_BODY + 1), b" " * MAX_BODY, b"x" * 200_000))
    play = dice.choice(PLAYS)
    call = {"model": "m" if chance < 0.93 else "none", "messages": [{"role": "user", "content": "hé"}], "play": play}
    return json.dumps(call | ({"stream": True} if "stream" in play or play == "no done" else {})).encode()


def frame(asked: Asked, body: bytes, dice: random.Random) -> None:
    """Say where the body ends, soundly or not."""
    chance = dice.random()
    if chance < 0.70:
        asked.add(b"Content-Length", b"%d" % len(body))
        asked.body = body
    elif chance < 0.75:
        form = dice.choice(LENGTHS)
        asked.add(b"Content-Length", form.replace(b"%d", b"%d" % len(body)).replace(b"%x", b"%x" % len(body)))
        asked.body = body
    elif chance < 0.77:
        other = dice.choice((len(body), len(body) + 1, 0))
        asked.add(b"Content-Length", b"%d" % len(body))
        asked.add(b"Content-Length", b"%d" % other)
        asked.body = body
    elif chance < 0.78:
        asked.body = body
    else:
        sound = dice.random() < 0.75
        asked.add(b"Transfer-Encoding", b"chunked" if sound else dice.choice(CODINGS))
        if not sound and dice.random() < 0.3:
            asked.add(*dice.choice(((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"%d" % len(body)))))
        asked.body = in_chunks(body, dice)
    if dice.random() < 0.2:
        dice.shuffle(asked.headers)


def in_chunks(body: bytes, dice: random.Random) -> bytes:
    places = sorted(dice.randrange(len(body) + 1) for _ in range(dice.randrange(4)))
    parts = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True) if start < end]
    lines = [chunk_size(len(part), dice) + chunk_end(dice) + part + chunk_end(dice) for part in parts]
    trailer = dice.choice(TRAILERS) if dice.random() < 0.08 else b""
    last = dice.choice((b"00", b"0;a=b", b"0 ", b"", b"-0", b"0x0")) if dice.random() < 0.03 else b"0"
    return b"".join(lines) + last + chunk_end(dice) + trailer + chunk_end(dice)


def chunk_size(size: int, dice: random.Random) -> bytes:
    form = dice.choice(SIZES) if dice.random() < 0.05 else b"%x"
    return form.replace(b"%x", b"%x" % size).replace(b"%X", b"%X" % size)


def chunk_end(dice: random.Random) -> bytes:
    return dice.choice((b"\n", b"", b"\r", b"\r\r\n", b" \r\n", b"x\r\n")) if dice.random() < 0.01 else b"\r\n"


def packed(asked: Asked, body: bytes, dice: random.Random) -> bytes:
    if dice.random() > 0.06:
        return body
    encoding = dice.choice(ENCODINGS)
    asked.add(b"Content-Encoding", encoding)
    body = gzip.compress(body, mtime=0) if b"gzip" in encoding.lower() else body
    body = zlib.compress(body) if encoding == b"deflate" else body
    return body[: -dice.randrange(1, 9)] if dice.random() < 0.2 else body


def _gaps(asked: Asked, dice: random.Random) -> None:
    asked.gaps = (dice.choice(GAPS), b" ") if dice.random() < 0.5 else (b" ", dice.choice(GAPS))


def _host(asked: Asked, dice: random.Random) -> None:
    asked.headers[:1] = dice.choice(
        ([], [b"Host: a", b"Host: a"], [b"Host: a", b"host: b"], *([b"Host: " + each] for each in HOSTS))
    )


def _twice(asked: Asked, dice: random.Random) -> None:
    name = dice.choice(SINGLES)
    asked.headers += [name + b": " + dice.choice((b"a", b"b", b"close")) for _ in range(2)]


def _many(asked: Asked, dice: random.Random) -> None:
    number, size = dice.choice(((60, 10), (120, 10), (127, 10), (128, 5), (129, 5), (300, 5), (5, 15_000), (30, 3_000)))
    same = dice.random() < 0.3
    asked.headers += [b"X-%d: " % (0 if same else each) + b"v" * size for each in range(number)]


CHANGES = [
    lambda asked, dice: setattr(asked, "method", dice.choice(METHODS)),
    lambda asked, dice: setattr(asked, "target", dice.choice(TARGETS)),
    lambda asked, dice: setattr(asked, "target", dice.choice(TARGETS)),
    lambda asked, dice: setattr(asked, "version", dice.choice(VERSIONS)),
    lambda asked, dice: setattr(asked, "before", dice.choice(PREFIXES)),
    lambda asked, dice: asked.add(dice.choice(NAMES), b"1"),
    lambda asked, dice: asked.add(b"X-A", dice.choice(VALUES)),
    lambda asked, dice: asked.add(
        b"X-A", b"1", dice.choice((b":", b" : ", b" :", b"", b":  ", b":\t", b"::", b":\r\n "))
    ),
    lambda asked, dice: asked.add(
        b"X-Request-Id", dice.choice((b"sane", b"in sane", b"caf\xc3\xa9", b"x" * 129, b"<b>", b"a\x7f"))
    ),
    lambda asked, dice: asked.add(b"Connection", dice.choice(CONNECTIONS)),
    lambda asked, dice: asked.add(b"Connection", dice.choice(CONNECTIONS)),
    lambda asked, dice: asked.add(b"Expect", dice.choice(EXPECTS)),
    lambda asked, dice: (asked.add(b"Upgrade", dice.choice(UPGRADES)), asked.add(b"Connection", b"Upgrade")),
    lambda asked, dice: asked.add(b"TE", dice.choice((b"trailers", b"chunked", b""))),
    lambda asked, dice: asked.add(
        b"Content-Type", dice.choice((b"application/json", b"text/plain", b"multipart/form-data", b"x"))
    ),
    _gaps,
    _host,
    _twice,
    _many,
]
