"""Providers that speak nonsense: a clean 502 each, and the gateway goes on."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.harness import CLOSE, HANG, FakeProvider, Gateway, chunked, events, whole
from tests.harness.fake_provider import Steps

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"content-type: application/json\r\n"
HTML = b"<!doctype html><title>Welcome</title>" + b"x" * 100_000
BOTH: dict[str, Steps] = {
    "not HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE],
    "TLS": [b"\x15\x03\x01\x00\x02\x02\x46", CLOSE],
    "zeros": [b"\x00" * 1000, CLOSE],
    "an endless status line": [b"HTTP/1.1 200 " + b"O" * 100_000 + b"\r\n\r\n", CLOSE],
    "a huge header": [OK + b"x: " + b"y" * 200_000 + b"\r\n\r\n", CLOSE],
    "many headers": [OK + b"".join(b"x-%d: y\r\n" % number for number in range(100_000)) + b"\r\n", CLOSE],
    "no status": [b"HTTP/1.1\r\n\r\n", CLOSE],
    "a bad length": [OK + b"content-length: many\r\n\r\n{}", CLOSE],
    "two lengths": [OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", CLOSE],
    "a bad chunk": [OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n", CLOSE],
    "an empty body": whole(b""),
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "HTML": whole(HTML, headers={"content-type": "text/html"}),
    "a redirect": whole(b"", status=302, headers={"location": "http://127.0.0.1:1/stolen"}),
    "a permanent redirect": whole(b"{}", status=308, headers={"location": "/v1/elsewhere"}),
    "a switch of protocols": [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        CLOSE,
    ],
    "encoded as nothing": whole(b"{}", headers={"content-encoding": "gzip"}),
    "an encoding nobody asked for": whole(b"\x0b\x02\x80{}\x03", headers={"content-encoding": "br"}),
    "a truncated gzip": whole(
        gzip.compress(b'{"a":"' + bytes(range(97, 123)) * 100 + b'"}')[:-20], headers={"content-encoding": "gzip"}
    ),
}
WHOLE: dict[str, Steps] = {
    "truncated JSON": whole(b'{"choices":[{"message":{"content":"he'),
    "truncated large JSON": whole(b'{"choices":["' + b"x" * 500_000),
    "broken usage in large JSON": whole(b'{"usage":{"prompt_tokens":01},"a":"' + b"x" * 500_000 + b'"}'),
    "an array": whole(b"[]"),
    "text": whole(b'"hello"'),
    "bad UTF-8": whole(b'{"a":"\xff"}'),
    "an event stream": chunked(events("x")),
    "a body shorter than its length": [JSON + b"content-length: 50\r\n\r\n{}", CLOSE],
    "a body longer than its length": [JSON + b'content-length: 5\r\n\r\n{"choices":[]}', CLOSE],
    "chunks without an end": [*chunked([b'{"choices":[]}'], content_type="application/json", end=False), CLOSE],
    "larger than max_answer": whole(b'{"a":"' + b"x" * (1 << 20) + b'"}'),
    "larger than max_answer once decoded": whole(
        gzip.compress(b'{"a":"' + b"x" * (1 << 22) + b'"}'), headers={"content-encoding": "gzip"}
    ),
}
STREAMED: dict[str, Steps] = {
    "one JSON document": whole({"choices": []}),
    "an image": chunked([b"\x89PNG" * 50_000], content_type="image/png"),
    "no event": chunked([b"hello, world\n"]),
    "events without content": chunked(events(finish=None, done=False)),
    "cut before content": [*chunked(events(finish=None, done=False), end=False), CLOSE],
}


@pytest.mark.parametrize(
    ("case", "stream"),
    [
        *((case, stream) for case in BOTH for stream in (False, True)),
        *((case, False) for case in WHOLE),
        *((case, True) for case in STREAMED),
    ],
)
def test_nonsense_is_a_clean_502(provider: FakeProvider, gateway: Gateway, case: str, stream: bool) -> None:
    provider.answer((BOTH | (STREAMED if stream else WHOLE))[case])
    before = len(provider.seen)
    answer = gateway.chat(stream=stream)
    assert answer.status_code == 502, answer.text
    error = answer.json()["error"]
    assert error["code"] in ("provider_error", "provider_connection_lost")
    assert error["message"].startswith("p0 ")
    assert answer.headers["x-should-retry"] == "false"
    assert len(provider.seen) - before <= 2  # one more if a kept connection seemed dead
    provider.answer(whole(b'{"mine":1}'))
    assert gateway.chat().content == b'{"mine":1}'
    assert not [line for line in gateway.log if line["level"] == "error"]


@pytest.mark.parametrize("stream", [False, True])
def test_broken_framing_within_a_body_is_known_at_once(provider: FakeProvider, gateway: Gateway, stream: bool) -> None:
    begun = chunked(events("x", finish=None, done=False), end=False)
    provider.answer([*begun, 0.1, b"no size\r\n", HANG] if stream else [*_json_chunk(), 0.1, b"no size\r\n", HANG])
    answer = gateway.chat(stream=stream)
    assert answer.elapsed.total_seconds() < 2.5  # timeouts.idle is 5 s
    assert ("stream_interrupted" if stream else "provider_connection_lost") in answer.text
    assert answer.status_code == (200 if stream else 502)


def _json_chunk() -> Steps:
    return chunked([b'{"choices":'], content_type="application/json", end=False)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP"])
def test_encoded_answers_are_decoded(provider: FakeProvider, gateway: Gateway, coding: str) -> None:
    body = b'{"choices":[]}'
    pack = zlib.compress if coding == "deflate" else gzip.compress
    provider.answer(whole(pack(body), headers={"content-encoding": coding}))
    answer = gateway.chat()
    assert answer.content == body
    assert "content-encoding" not in answer.headers
    assert provider.seen[-1].headers["accept-encoding"] == "identity"


def test_encoded_streams_and_errors_are_decoded(provider: FakeProvider, gateway: Gateway) -> None:
    said = b"".join(events("Hel", "lo"))
    packer = zlib.compressobj(wbits=31)
    parts = [
        packer.compress(said[:100]) + packer.flush(zlib.Z_SYNC_FLUSH),
        packer.compress(said[100:]) + packer.flush(),
    ]
    steps = chunked(parts)
    head = steps[0]
    assert isinstance(head, bytes)
    provider.answer([head[:-2] + b"content-encoding: gzip\r\n\r\n", *steps[1:]])
    assert gateway.chat(stream=True).content == said
    provider.answer(
        whole(gzip.compress(b'{"error":{"message":"no"}}'), status=400, headers={"content-encoding": "gzip"})
    )
    assert gateway.chat(stream=True).json()["error"]["message"] == "no"


def test_half_a_surrogate_pair_in_an_answer_is_the_clients_to_read(provider: FakeProvider, gateway: Gateway) -> None:
    body = b'{"choices":[{"message":{"content":"\\ud83d"}}],"usage":{"prompt_tokens":7}}'
    provider.answer(whole(body))
    answer = gateway.chat()
    assert (answer.status_code, answer.content) == (200, body)
    assert gateway.access_of(answer.headers["x-request-id"])["input_tokens"] == 7
