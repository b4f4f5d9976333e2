"""The fast lane through real sockets: calls and pages on one connection, its clocks, and whom it does not believe."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import HANG, FakeProvider, Gateway, config_for, eventually
from tests.server.raw import CHAT, HELLO, Wire, request

CANARY = "canary-7f3a"
STREAM = HELLO[:-1] + b',"stream":true}'


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider) -> Iterator[Gateway]:
    server = {"header_timeout": "1s", "keepalive_timeout": "3s", "max_body": "64KiB"}
    echo = {"echo": {"type": "echo", "models": {"echo": {}}}}
    config = config_for(provider.url, server=server, logging={"level": "debug"}, providers=echo)
    with Gateway(config, lane="fast") as running:
        yield running


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with Wire(gateway.port) as connection:
        yield connection


def test_the_lane_is_told(gateway: Gateway, wire: Wire) -> None:
    assert wire.ask(request(method="GET", path="/health")).json["lane"] == "fast"
    assert 'lane="fast"' in wire.ask(request(method="GET", path="/metrics")).body.decode()
    assert "(lane fast," in gateway.output


def test_calls_and_pages_on_one_connection(wire: Wire) -> None:
    for _ in range(3):
        assert wire.ask(request(HELLO)).json["choices"][0]["message"]["content"] == "hello there"
        assert wire.ask(request(method="GET", path="/v1/models")).json["object"] == "list"
        assert wire.ask(request(STREAM)).body.endswith(b"data: [DONE]\n\n")
        head = wire.ask(request(method="HEAD", path="/live"), method="HEAD")
        assert (head.status, head.headers["content-length"]) == (200, "15")
        assert wire.ask(request(HELLO, method="PUT", path="/v1/models")).status == 405
    wire.send((request(HELLO) + request(method="GET", path="/live") + request(STREAM)) * 5)
    for _ in range(5):
        assert wire.answer().json["object"] == "chat.completion"
        assert wire.answer().json == {"status": "ok"}
        assert wire.answer().body.endswith(b"data: [DONE]\n\n")


def test_nobody_can_pretend_to_be_somebody_else(gateway: Gateway, wire: Wire) -> None:
    """What the fast lane tells the application about a client, no client can tell it."""
    pretended = {"X-Gateway-Peer": "203.0.113.9", "x-gateway-method": "HEAD", "X-GATEWAY-Error": "a b"}
    answer = wire.ask(request(method="GET", path="/live", headers=pretended))
    assert answer.json == {"status": "ok"}
    assert "x-gateway-error" not in answer.headers
    line = gateway.access_of(answer.headers["x-request-id"])
    assert (line["client"], line["method"], line["bytes_out"]) == ("127.0.0.1", "GET", len(answer.body))
    with Gateway(config_for(), lane="aiohttp") as plain, Wire(plain.port) as other:
        answer = other.ask(request(method="GET", path="/live", headers=pretended))
        assert answer.json == {"status": "ok"}
        line = plain.access_of(answer.headers["x-request-id"])
        assert (line["client"], line["method"]) == ("127.0.0.1", "GET")


def test_a_page_has_its_line(gateway: Gateway, wire: Wire) -> None:
    headers = {"X-Correlation-Id": "order-7", "User-Agent": "test/1"}
    answer = wire.ask(request(method="GET", path="/nope?a=query-canary", headers=headers))
    line = gateway.access_of(answer.headers["x-request-id"])
    assert line.pop("duration_ms") > 0
    assert line.pop("ts")
    assert line == {
        "request_id": answer.headers["x-request-id"],
        "correlation_id": "order-7",
        "client": "127.0.0.1",
        "method": "GET",
        "path": "/nope",
        "status": 404,
        "bytes_out": len(answer.body),
        "error_code": "unknown_url",
        "error_type": "invalid_request_error",
        "user_agent": "test/1",
    }


def test_a_slow_head_is_told_so(wire: Wire) -> None:
    wire.send(b"GET /live HTTP/1.1\r\nHost")
    began = time.monotonic()
    answer = wire.answer()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"
    assert wire.is_closed()
    assert 1.0 <= time.monotonic() - began < 10.0


@pytest.mark.parametrize("asked", [b"", request(method="GET", path="/live")], ids=["fresh", "served"])
def test_an_idle_connection_is_closed_without_a_word(gateway: Gateway, asked: bytes) -> None:
    with Wire(gateway.port) as wire:
        if asked:
            assert wire.ask(asked).status == 200
        began = time.monotonic()
        assert wire.is_closed()
        assert 2.5 < time.monotonic() - began < 20.0


@pytest.mark.parametrize("how", ["half", "close", "reset"])
def test_who_leaves_before_the_first_step_has_a_line_too(gateway: Gateway, provider: FakeProvider, how: str) -> None:
    """The request and the client's end come in one turn of the loop."""
    provider.answer([HANG])
    asked = len(provider.seen)
    for number, path in enumerate([CHAT, "/v1/models"] * 20):
        name = f"gone-{how}-{number}"
        with Wire(gateway.port) as wire:
            method = "POST" if path == CHAT else "GET"
            body = HELLO.replace(b"echo", b"m") if path == CHAT else None
            wire.send(request(body, method=method, path=path, headers={"X-Request-Id": name}))
            if how == "half":
                wire.socket.shutdown(socket.SHUT_WR)
            elif how == "reset":
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        if how != "reset":  # which takes along what was sent
            line = gateway.access_of(name)
            assert line.get("ended_by") in ("client", None if path != CHAT else "client")
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
    assert all(seen.left.wait(10) for seen in provider.seen[asked:])
    assert not [line for line in gateway.log if line["level"] == "error"]


def test_who_sends_too_far_ahead_is_cut(gateway: Gateway, provider: FakeProvider) -> None:
    provider.answer([HANG])
    count = len(provider.seen)
    with Wire(gateway.port) as wire:
        body = HELLO.replace(b"echo", b"m")
        wire.send(request(body, headers={"X-Request-Id": "too-far"}))
        seen = eventually(lambda: provider.seen[count:])[0]
        with suppress(ConnectionError):
            while True:
                wire.send(request(body) * 100)
        assert seen.left.wait(10)
    assert gateway.access_of("too-far")["ended_by"] == "client"
    assert len(provider.seen) == count + 1


NASTY = {
    "a header": f"GET /live HTTP/1.1\r\nHost: a\r\nAuthorization : {CANARY}\r\n\r\n".encode(),
    "a target": f"GET {CANARY} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a method": f"{CANARY} / HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a length": f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
    "a coding": f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {CANARY}\r\n\r\n".encode(),
    "a chunk": f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode(),
    "a version": f"GET / HTTP/{CANARY}\r\nHost: a\r\n\r\n".encode(),
}


@pytest.mark.parametrize("name", NASTY)
def test_a_malformed_request_is_never_quoted(gateway: Gateway, wire: Wire, name: str) -> None:
    answer = wire.ask(NASTY[name])
    assert answer.status == 400
    assert CANARY not in str(answer)
    assert wire.is_closed()
    assert CANARY not in str(gateway.log + gateway.access) + gateway.output


def test_a_refusal_is_told_in_the_debug_log(gateway: Gateway, wire: Wire) -> None:
    wire.ask(b"GET / HTTP/1.1\r\n\r\n")
    line = eventually(lambda: [each for each in gateway.log if each.get("reason") == "there is no Host"])[0]
    assert (line["message"], line["level"], line["peer"]) == ("malformed request", "debug", "127.0.0.1")


def test_a_page_does_not_wait_for_a_body(wire: Wire) -> None:
    """As in the aiohttp lane: nobody wants it, so nobody asks for it."""
    headers = {"Expect": "100-continue", "Content-Length": "1000"}
    answer = wire.ask(request(method="POST", path="/live", headers=headers))
    assert (answer.status, answer.headers["connection"]) == (405, "close")
    assert wire.is_closed()


def test_a_large_body_for_a_page_is_not_kept(gateway: Gateway, wire: Wire) -> None:
    wire.send(request(method="POST", path="/live", headers={"Content-Length": str(20 << 20)}))
    wire.send(bytes(20 << 20))
    answer = wire.answer()
    assert (answer.status, answer.headers["connection"]) == (405, "close")
    assert wire.is_closed()


def test_the_way_to_the_application_survives_its_end(gateway: Gateway) -> None:
    """The pairs that nobody needs are closed; then there is a new one."""
    for pause in (0.0, 6.5):
        time.sleep(pause)  # longer than an idle pair is kept
        with Wire(gateway.port) as wire:
            assert wire.ask(request(method="GET", path="/live")).status == 200


def test_who_leaves_a_page_behind_leaves_no_connection(gateway: Gateway) -> None:
    """The pair to the application is closed with it, else each would hold two descriptors and their buffers."""
    folder = Path(f"/proc/{gateway.workers[0]}/fd")
    before = len(list(folder.iterdir()))
    for number in range(200):
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            client.sendall(request(method="GET", path="/metrics"))
            time.sleep(0.0005 * (number % 3))
    eventually(lambda: len(list(folder.iterdir())) <= before + 2 * 8 + 4, what="the pairs' end")
