"""Conversations that both lanes must hold alike: all that clients, providers and the connection between them may do.

Every request that is a request carries its case's name as its id, so that its access line is found.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from typing import Any

from tests.equivalence.acts import ACTS
from tests.equivalence.conversation import Script, bytewise, one
from tests.equivalence.stage import CHAT, MAX_BODY
from tests.server.raw import chunked, request

CHUNKED = {"Transfer-Encoding": "chunked"}
SILENT = ("hang", "hang within")  # acts that only a clock ends
PAGES = ("/health", "/health/live", "/health/ready", "/live", "/ready", "/metrics", "/openapi.json", "/v1/models")
JAVA = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}


def slug(name: str) -> str:
    """A case's name as the id of its requests."""
    return re.sub(r"[^\w.]+", "-", name)


def body(play: str = "whole", model: str = "m", **fields: Any) -> bytes:
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "hé"}], "play": play, **fields}
    ).encode()


def call(play: str = "whole", *, data: bytes | None = None, path: str = CHAT, **more: Any) -> bytes:
    """One request; `more` are fields of its call, but for `headers`, `method` and `version`."""
    rest = {name: more.pop(name) for name in ("headers", "method", "version") if name in more}
    return request(body(play, **more) if data is None else data, path=path, **rest)


def page(path: str = "/live", method: str = "GET", **more: Any) -> bytes:
    return request(method=method, path=path, **more)


def _acts() -> dict[str, Script]:
    """Whatever a provider may do, to a whole answer and to a stream."""
    found = {}
    for name in ACTS:
        model = "slow" if name in SILENT else "m"
        found[f"whole: {name}"] = one(call(name, model=model), in_turn=True)
        found[f"stream: {name}"] = one(call(name, model=model, stream=True), in_turn=True)
    return found


def _calls() -> dict[str, Script]:
    """What a client may ask, and ask wrongly."""
    packed = body(filler="x" * 500)
    bomb = gzip.compress(bytes(MAX_BODY * 8))
    return {
        "embeddings": one(call(data=b'{"model":"m","input":["a"]}', path="/v1/embeddings")),
        "completions": one(call(data=b'{"model":"echo","prompt":"a b"}', path="/v1/completions")),
        "echo": one(call(model="echo"), call(model="echo", stream=True), in_turn=True),
        "usage in the stream": one(call("stream", stream=True, stream_options={"include_usage": True})),
        "failover": one(*[call(model="pair")] * 3, in_turn=True),
        "failover of a stream": one(*[call("stream", model="pair", stream=True)] * 3, in_turn=True),
        "failover to an error": one(*[call("error 500", model="pair")] * 2, in_turn=True),
        "a provider that is not there": one(call(model="dead"), call(model="dead", stream=True), in_turn=True),
        "no such model": one(call(model="none")),
        "no JSON": one(call(data=b"{")),
        "no object": one(call(data=b"[]")),
        "no body": one(call(data=b""), request(), in_turn=True),
        "not UTF-8": one(call(data=b'{"model":"\xff"}')),
        "a wrong field": one(call(temperature=9)),
        "a model of line ends": one(call(model="a\r\nX-Injected: 1\r\n\r\n")),
        "gzip": one(call(data=gzip.compress(packed), headers={"Content-Encoding": "gzip"})),
        "deflate": one(call(data=zlib.compress(packed), headers={"Content-Encoding": "deflate"})),
        "gzip in chunks": one(
            call(data=chunked(gzip.compress(packed)), headers={"Content-Encoding": "gzip", **CHUNKED}), in_turn=True
        ),
        "gzip that is cut": one(call(data=gzip.compress(packed)[:-9], headers={"Content-Encoding": "gzip"})),
        "gzip that is none": one(call(data=packed, headers={"Content-Encoding": "gzip"})),
        "gzip of too much": one(call(data=bomb, headers={"Content-Encoding": "gzip"})),
        "an unknown encoding": one(call(data=packed, headers={"Content-Encoding": "br"})),
        "as much as is allowed": one(call(data=body().ljust(MAX_BODY))),
        "a little too much": one(call(data=bytes(MAX_BODY + 1)), in_turn=True),
        "a length of too much": one(request(headers={"Content-Length": str(1 << 40)}), closer=False),
        "too much in chunks": one(call(data=chunked(bytes(40_000), bytes(40_000)), headers=CHUNKED), closer=False),
        "a body that does not come": one(request(b"{", headers={"Content-Length": "50"}), closer=False),
        "chunks that do not come": one(request(b"5\r\n{", headers=CHUNKED), closer=False),
    }


def _connections() -> dict[str, Script]:
    """What a client may do with its connection."""
    whole, stream = call(), call("stream", stream=True)
    chunks = call(data=chunked(body()[:9], body()[9:]), headers=CHUNKED)
    trailers = chunks[:-2] + b"X-T: 1\r\n\r\n"
    extended = call(data=b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(body()), body()), headers=CHUNKED)
    mixed = [
        whole,
        page("/health"),
        stream,
        page("/metrics"),
        call("error 500"),
        page("/v1/models"),
        page("/nope"),
        chunks,
    ]
    old: dict[str, Any] = {"version": "1.0"}
    kept: dict[str, Any] = {"version": "1.0", "headers": {"Connection": "keep-alive"}}
    return {
        "pages and calls in turn": one(*mixed, in_turn=True),
        "pages and calls pipelined": one(b"".join(mixed[:-1])),
        "many pipelined": one(b"".join([whole, page(), stream] * 10)),
        "byte by byte": one(*bytewise(whole + page() + stream)),
        "chunks": one(chunks, in_turn=True),
        "chunks byte by byte": one(*bytewise(chunks)),
        "trailers": one(trailers, in_turn=True),
        "extensions": one(extended, in_turn=True),
        "Connection: close": one(call(headers={"Connection": "close"}), closer=False),
        "Connection: close, a stream": one(call("stream", stream=True, headers={"Connection": "close"}), closer=False),
        "Connection: close, a page": one(page(headers={"Connection": "close"}), closer=False),
        "Connection: close, an error": one(call(data=b"{", headers={"Connection": "close"}), closer=False),
        "HTTP/1.0, kept": one(call(**kept), page(**kept), call(**kept), in_turn=True),
        "HTTP/1.0, kept, a stream": one(call("stream", stream=True, **kept), in_turn=True, closer=False),
        "HTTP/1.0, a page": one(page(**old), closer=False),
        "HTTP/1.0, a stream": one(call("stream", stream=True, **old), closer=False),
        "HTTP/1.0 without a Host": one(page(**old).replace(b"Host: gateway.test\r\n", b""), closer=False),
        "an upgrade is offered": one(call(headers=JAVA), in_turn=True),
        "an upgrade is offered, chunks": one(call(data=chunked(body()), headers=CHUNKED | JAVA), in_turn=True),
        "100 is waited for": one(
            request(headers={"Expect": "100-continue", "Content-Length": str(len(body()))}), body(), in_turn=True
        ),
        "100 is not given for too much": one(
            request(headers={"Expect": "100-continue", "Content-Length": "999999"}), closer=False
        ),
        "100 is not given for br": one(
            request(headers={"Expect": "100-continue", "Content-Length": "9", "Content-Encoding": "br"}), closer=False
        ),
        "an absolute target": one(
            call(path=f"http://other.test{CHAT}"), page("http://other.test/v1/models?a=b#c"), in_turn=True
        ),
        "a query": one(call(path=f"{CHAT}?a=b"), page("/v1/models?a"), in_turn=True),
        "an empty line before": one(b"\r\n" + whole, in_turn=True),
        "headers of everybody": one(call(headers=EVERYBODYS), page(headers=EVERYBODYS), in_turn=True),
        "nothing": one(b"", closer=False),
    }


EVERYBODYS = {
    "X-Request-Id": "in sane",
    "X-Correlation-Id": "c-1",
    "User-Agent": 'caf\xe9\x7e"\\',
    "Authorization": "Bearer secret",
    "Cookie": "a=b",
    "Forwarded": "for=1.2.3.4",
    "X-Forwarded-For": "1.2.3.4",
    "X-Gateway-Peer": "6.6.6.6",
    "X-Gateway-Method": "HEAD",
    "X-Gateway-Error": "a b",
    "Proxy-Authorization": "Basic a",
    "TE": "trailers",
    "Keep-Alive": "1",
    "Accept": "*/*",
    "Accept-Encoding": "br",
    "X-Empty": "",
}


def _pages() -> dict[str, Script]:
    found = {
        f"{method} {path}": one(page(path, method)) for path in PAGES for method in ("GET", "HEAD", "POST", "OPTIONS")
    }
    others = (
        "/",
        "/nope",
        "/v1/models/echo",
        "/v1/models/org/model",
        "/v1/models/org%2Fmodel",
        "/v1/models/none",
        CHAT,
        "/%ff",
        "//live",
    )
    found |= {
        f"{method} {path}": one(page(path, method)) for path in others for method in ("GET", "HEAD", "DELETE", "QUERY")
    }
    for living in ("HEAD /health", "HEAD /metrics"):  # whose length nobody can compare
        del found[living]
    return found | {
        "a page with a body": one(page(), call(data=b"hello", path="/live", method="GET"), page(), in_turn=True)
    }


def _named(name: str, script: Script) -> Script:
    if len(script.pieces) > 100:
        return one(*bytewise(_named(name, one(script.raw, closer=False)).raw), closer=False)
    if b"X-Request-Id: in sane" in script.raw:  # the case is about headers
        return script
    given = b"\r\nUser-Agent: agent/1\r\nX-Correlation-Id: c-1\r\nX-Request-Id: " + slug(name).encode() + b"\r\nHost:"
    return Script(
        tuple(piece.replace(b"\r\nHost: g", given + b" g") for piece in script.pieces), script.leaves, script.in_turn
    )


CASES = {name: _named(name, script) for name, script in (_acts() | _calls() | _connections() | _pages()).items()}
