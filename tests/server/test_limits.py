"""How much of a body is read: its declared length, its real one, its decoded one, and for how long."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import Gateway, eventually
from tests.server.conftest import MAX_BODY
from tests.server.raw import HELLO, Wire, chunked, request

GZIP, DEFLATE = {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}
CHUNKED = {"Transfer-Encoding": "chunked"}
GIB = 1 << 30
PACKED = gzip.compress(HELLO)


def peak_memory(gateway: Gateway) -> int:
    """The most memory that the process ever held, in bytes."""
    lines = Path(f"/proc/{gateway.workers[0]}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def pushed(wire: Wire, data: bytes) -> int:
    """How many bytes go out, `data` again and again, before the server closes; a gigabyte at most."""
    sent = 0
    with suppress(ConnectionError):
        while sent < GIB:
            wire.send(data)
            sent += len(data)
    return sent


def test_a_gigabyte_is_refused_unread(gateway: Gateway, wire: Wire) -> None:
    before = peak_memory(gateway)
    answer = wire.ask(request(headers={"Content-Length": str(GIB)}))
    assert answer.status == 413
    assert answer.error["code"] == "payload_too_large"
    assert answer.headers["connection"] == "close"
    assert pushed(wire, bytes(1 << 20)) < GIB // 4  # some is read away, so that the answer is not lost
    assert peak_memory(gateway) - before < 16 << 20


def test_a_client_that_sends_all_before_it_reads_gets_its_413(wire: Wire) -> None:
    answer = wire.ask(request(bytes(32 << 20)))
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert wire.is_closed()


def test_a_little_too_much_keeps_the_connection(wire: Wire) -> None:
    assert wire.ask(request(bytes(MAX_BODY + 1))).status == 413
    assert wire.ask(request(HELLO + b" " * (MAX_BODY - len(HELLO)))).status == 200


def test_too_much_in_chunks(gateway: Gateway, wire: Wire) -> None:
    before = peak_memory(gateway)
    wire.send(request(headers=CHUNKED)).send(b"10000\r\n" + bytes(65536) + b"\r\n1\r\n \r\n")
    answer = wire.answer()  # before the body has ended
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert pushed(wire, b"10000\r\n" + bytes(65536) + b"\r\n") < GIB // 4
    assert peak_memory(gateway) - before < 16 << 20


@pytest.mark.parametrize("size", [1, 7, len(HELLO)])
def test_chunks(wire: Wire, size: int) -> None:
    parts = [HELLO[start : start + size] for start in range(0, len(HELLO), size)]
    assert wire.ask(request(chunked(*parts), headers=CHUNKED)).status == 200
    assert wire.ask(request(HELLO)).status == 200


READABLE = {
    "gzip": (PACKED, GZIP),
    "capitals": (PACKED, {"Content-Encoding": "GZIP"}),
    "two members": (gzip.compress(HELLO[:20]) + gzip.compress(HELLO[20:]), GZIP),
    "byte by byte": (chunked(*(PACKED[i : i + 1] for i in range(len(PACKED)))), GZIP | CHUNKED),
    "deflate": (zlib.compress(HELLO), DEFLATE),
    "raw, as some understand the word": (zlib.compress(HELLO)[2:-4], DEFLATE),
    "identity": (HELLO, {"Content-Encoding": "identity"}),
}
DAMAGED = {
    "no gzip": (HELLO, GZIP),
    "cut": (PACKED[:-12], GZIP),
    "changed": (PACKED[:30] + b"zzzz" + PACKED[34:], GZIP),
    "a wrong sum": (PACKED[:-8] + b"abcd" + PACKED[-4:], GZIP),
    "more behind": (PACKED + b"junk", GZIP),
    "more behind deflate": (zlib.compress(HELLO) + b"junk", DEFLATE),
    "cut deflate": (zlib.compress(HELLO)[:-4], DEFLATE),
}


@pytest.mark.parametrize("name", READABLE)
def test_a_packed_body_is_read(wire: Wire, name: str) -> None:
    body, headers = READABLE[name]
    answer = wire.ask(request(body, headers=headers))
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "hello there"
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_body_is_400_and_nothing_in_the_log(gateway: Gateway, wire: Wire, name: str) -> None:
    body, headers = DAMAGED[name]
    answer = wire.ask(request(body, headers=headers))
    assert answer.status == 400
    assert headers["Content-Encoding"] in answer.error["message"]
    assert wire.ask(request(HELLO)).status == 200
    assert not [line for line in gateway.log if line["level"] == "error"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x" * 200])
def test_an_unknown_encoding_is_415(wire: Wire, encoding: str) -> None:
    answer = wire.ask(request(PACKED, headers={"Content-Encoding": encoding}))
    assert answer.status == 415
    assert answer.error["code"] == "unsupported_content_encoding"
    assert "gzip" in answer.error["message"]
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_413_in_bounded_memory(gateway: Gateway, wire: Wire, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(60)]) + packer.flush()
    assert len(bomb) < MAX_BODY
    before = peak_memory(gateway)
    for _ in range(3):
        answer = wire.ask(request(bomb, headers=headers))
        assert answer.status == 413
    assert peak_memory(gateway) - before < 16 << 20
    assert wire.ask(request(HELLO)).status == 200


def test_endless_nothing_is_413(wire: Wire) -> None:
    """Members that decode to nothing count by their own size."""
    nothing = gzip.compress(b"")
    body = chunked(*[nothing * 100 for _ in range(MAX_BODY // len(nothing) // 100 + 1)])
    assert wire.ask(request(body, headers=GZIP | CHUNKED)).status == 413


def test_a_slow_body_is_408_and_ends_the_connection(gateway: Gateway) -> None:
    with Wire(gateway.port) as declared, Wire(gateway.port) as in_chunks:
        declared.send(request(HELLO[:10], headers={"Content-Length": str(len(HELLO))}))
        in_chunks.send(request(headers=CHUNKED)).send(b"5\r\nabcde\r\n")
        for wire in (declared, in_chunks):
            answer = wire.answer()
            assert answer.status == 408
            assert answer.error["code"] == "request_timeout"
            assert answer.headers["connection"] == "close"
            assert wire.is_closed()


def test_a_client_that_leaves_while_it_sends_is_only_noted(gateway: Gateway) -> None:
    name = "left-while-sending"
    with Wire(gateway.port) as wire:
        wire.send(request(HELLO[:10], headers={"Content-Length": str(len(HELLO)), "X-Request-Id": name}))
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 1)
    line = gateway.access_of(name)
    assert (line["status"], line["ended_by"]) == (499, "client")
    assert not [line for line in gateway.log if line["level"] == "error"]
