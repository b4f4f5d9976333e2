"""What the provider behind a lane plays: the call itself says which act, in the unknown field `play`.

Nothing is queued, so any number of calls may run at once and both lanes' providers do the same.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.harness import CLOSE, HANG, RESET, chunked, events, whole
from tests.harness.fake_provider import Seen, Steps

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-fake",
    "object": "chat.completion",
    "created": 1,
    "model": "fake",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hé"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
EMBEDDED = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "usage": USAGE}
STREAM = events("one", "twö", "three", usage=USAGE)
PARTS = b"".join(STREAM)
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
PACKED = gzip.compress(json.dumps(ANSWER).encode())
# What a provider may say about its own connection and its own clients; none of it is our client's business.
PRIVATE = {
    "connection": "keep-alive, x-hop",
    "keep-alive": "timeout=5",
    "te": "trailers",
    "trailer": "x-later",
    "upgrade": "h2c",
    "proxy-authenticate": "Basic",
    "x-hop": "private",
    "set-cookie": "provider-session=private",
    "server": "private-server/1.0",
    "x-request-id": "private-id",
    "x-injected": "private",
    "x-gateway-provider": "private",
    "openai-organization": "private",
    "strict-transport-security": "private",
    "alt-svc": "h3=private",
}


def error(status: int, **headers: str) -> Steps:
    said = {"error": {"message": f"the provider says {status}", "type": "t", "code": f"c{status}", "param": None}}
    return whole(said, status, {name.replace("_", "-"): value for name, value in headers.items()})


ACTS: dict[str, Steps] = {
    "whole": whole(ANSWER),
    "embedding": whole(EMBEDDED),
    "large": whole({**ANSWER, "filler": "x" * 300_000}),
    "chunked whole": chunked(
        [json.dumps(ANSWER).encode()[:9], 0.01, json.dumps(ANSWER).encode()[9:]], 200, "application/json"
    ),
    "close-framed whole": [JSON_HEAD + b"\r\n" + json.dumps(ANSWER).encode(), CLOSE],
    "gzip whole": whole(PACKED, headers={"content-encoding": "gzip"}),
    "private": whole(ANSWER, headers=PRIVATE),
    "private stream": [
        SSE_HEAD
        + b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in PRIVATE.items())
        + b"content-length: %d\r\n\r\n" % len(PARTS)
        + PARTS
    ],
    "private error": error(400, **PRIVATE),
    "an interim head": [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", *whole(ANSWER)],
    "stream": chunked(STREAM),
    "stream in one": chunked([PARTS]),
    "stream in bits": chunked([PARTS[place : place + 7] for place in range(0, len(PARTS), 7)]),
    "stream with pauses": chunked([part for each in STREAM for part in (each, 0.02)]),
    "close-framed stream": [SSE_HEAD + b"\r\n" + PARTS, CLOSE],
    "length-framed stream": [SSE_HEAD + b"content-length: %d\r\n\r\n" % len(PARTS) + PARTS],
    "HTTP/1.0 stream": [SSE_HEAD.replace(b"1.1", b"1.0") + b"\r\n" + PARTS, CLOSE],
    "extended chunks": [
        SSE_HEAD + b"transfer-encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\nx-t: 1\r\n\r\n" % (len(PARTS), PARTS)
    ],
    "no done": chunked(events("one", done=False)),
    "malformed": chunked([STREAM[0], b"data: {broken\n\n", *STREAM[1:]]),
    "silence": chunked([STREAM[0], STREAM[1], 0.5, *STREAM[2:]]),
    "cut before content": [*chunked([STREAM[0]], end=False), CLOSE],
    "cut": [*chunked(STREAM[:2], end=False), CLOSE],
    "reset": [*chunked(STREAM[:2], end=False), 0.05, RESET],
    "cut at the length": [SSE_HEAD + b"content-length: 99999\r\n\r\n" + PARTS[:200], CLOSE],
    "hang within": [*chunked(STREAM[:2], end=False), HANG],
    "error within": chunked([STREAM[0], b'data: {"error":{"message":"no","type":"t","code":"c"}}\n\n']),
    "no stream": whole(ANSWER),
    "hang": [HANG],
    "gone": [CLOSE],
    "reset at once": [RESET],
    "nonsense": [b"hello world\r\n\r\n", CLOSE],
    "half a head": [b"HTTP/1.1 200 OK\r\ncontent-t", CLOSE],
    "two lengths": [JSON_HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ", CLOSE],
    "both framings": [
        JSON_HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        CLOSE,
    ],
    "html": [*whole(b"<html>", headers={"content-type": "text/html"})],
    "no json": [*whole(b"{broken")],
    "a short whole": [JSON_HEAD + b"content-length: 999\r\n\r\n{", CLOSE],
    "redirect": [b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"],
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "switching": [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", CLOSE],
    **{
        f"error {status}": error(status) for status in (400, 401, 402, 403, 404, 408, 409, 413, 422, 500, 502, 503, 529)
    },
    "error 429": error(429, retry_after="7"),
    "error 500 html": whole(b"<h1>Oops</h1>", 500, {"content-type": "text/html"}),
}


def play(seen: Seen) -> Steps:
    """The act that the call names."""
    try:
        return ACTS[json.loads(seen.body)["play"]]
    except (ValueError, KeyError, TypeError):
        return ACTS["embedding" if seen.path.endswith("embeddings") else "whole"]
