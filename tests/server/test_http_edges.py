"""Methods, paths, connections and headers, as HTTP means them and as nobody should send them."""

from __future__ import annotations

import re
import time

import pytest

from tests.harness import Gateway, eventually
from tests.server.raw import CHAT, HELLO, Wire, chunked, request

STREAM = HELLO[:-1] + b',"stream":true}'
PAGES = ("/health", "/health/live", "/health/ready", "/live", "/ready", "/metrics", "/openapi.json", "/v1/models")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_a_data_endpoint_takes_post(wire: Wire, method: str, path: str) -> None:
    answer = wire.ask(request(method=method, path=path), method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert answer.error["code"] == "method_not_allowed"
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_page_takes_get(wire: Wire, method: str) -> None:
    answer = wire.ask(request(HELLO, method=method, path="/v1/models"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.error["code"] == "method_not_allowed"
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_a_body(wire: Wire, path: str) -> None:
    whole = wire.ask(request(method="GET", path=path))
    head = wire.ask(request(method="HEAD", path=path), method="HEAD")
    assert (whole.status, head.status) == (200, 200)
    assert head.headers["content-type"] == whole.headers["content-type"]
    if path not in ("/metrics", "/health"):  # which go on between the two
        assert head.headers["content-length"] == str(len(whole.body))
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/chat", CHAT + "/", "/v1/models/", "//v1/models", "/v1/chat%2Fcompletions", "/healthy", "/%ff"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_404(wire: Wire, method: str, path: str) -> None:
    answer = wire.ask(request(method=method, path=path))
    assert answer.status == 404
    assert answer.error["code"] == "unknown_url"
    assert wire.ask(request(HELLO)).status == 200


def test_a_path_of_raw_bytes_is_told_and_logged(gateway: Gateway, wire: Wire) -> None:
    answer = wire.ask(b"GET /caf\xe9\xff HTTP/1.1\r\nHost: a\r\nX-Request-Id: raw-bytes\r\n\r\n")
    assert answer.status in (400, 404)
    assert answer.error["type"] == "invalid_request_error"
    assert not [line for line in gateway.log if line["level"] == "error"]


@pytest.mark.parametrize("path", [f"{CHAT}?api-version=1", f"http://gateway.test{CHAT}"])
def test_a_path_with_more_around_it(wire: Wire, path: str) -> None:
    assert wire.ask(request(HELLO, path=path)).status == 200


def test_a_model_with_a_slash(wire: Wire) -> None:
    for path in ("/v1/models/org/model", "/v1/models/org%2Fmodel"):
        assert wire.ask(request(method="GET", path=path)).json["id"] == "org/model"
    answer = wire.ask(request(method="GET", path="/v1/models/org/other"))
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


def test_a_client_that_waits_for_100(wire: Wire) -> None:
    wire.send(request(headers={"Expect": "100-continue", "Content-Length": str(len(HELLO))}))
    assert wire.answer().status == 100
    assert wire.ask(HELLO).status == 200
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Length": str(1 << 30)}, 413), ({"Content-Length": "5", "Content-Encoding": "br"}, 415)],
)
def test_what_is_refused_is_not_asked_for(wire: Wire, headers: dict[str, str], status: int) -> None:
    began = time.monotonic()
    answer = wire.ask(request(headers={"Expect": "100-continue", **headers}))
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert wire.is_closed()
    assert time.monotonic() - began < 10  # not after waiting for what will never come


def test_an_http_1_0_client(gateway: Gateway) -> None:
    with Wire(gateway.port) as wire:
        answer = wire.ask(request(STREAM, version="1.0"))
        assert answer.status == 200
        assert answer.close_framed
        assert "transfer-encoding" not in answer.headers
        assert answer.body.endswith(b"data: [DONE]\n\n")
    with Wire(gateway.port) as wire:
        answer = wire.ask(request(HELLO, version="1.0"))
        assert answer.json["choices"][0]["message"]["content"] == "hello there"
        assert wire.is_closed()
    with Wire(gateway.port) as wire:
        keep = request(HELLO, version="1.0", headers={"Connection": "keep-alive"})
        assert [wire.ask(keep).status for _ in range(2)] == [200, 200]
        answer = wire.ask(request(STREAM, version="1.0", headers={"Connection": "keep-alive"}))
        assert answer.close_framed
        assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["whole", "stream"])
def test_connection_close(wire: Wire, body: bytes) -> None:
    answer = wire.ask(request(body, headers={"Connection": "close"}))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert wire.is_closed()


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    asked = [HELLO.replace(b"hello", b"n%d" % number) for number in range(40)]
    bodies = [body if number % 3 else body[:-1] + b',"stream":true}' for number, body in enumerate(asked)]
    bodies[7] = b"{"
    wire.send(b"".join(request(body, headers={"X-Request-Id": f"pipe-{i}"}) for i, body in enumerate(bodies)))
    for number in range(40):
        answer = wire.answer()
        assert answer.headers["x-request-id"] == f"pipe-{number}"
        assert answer.status == (400 if number == 7 else 200)
        assert number == 7 or b"n%d" % number in answer.body


def test_an_offered_upgrade_is_ignored(lane: str, wire: Wire) -> None:
    """Java's HttpClient offers h2c with its first request; the body belongs to the request all the same."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}
    assert wire.ask(request(HELLO, headers=offer)).status == 200
    if lane == "aiohttp":  # which loses its place on the connection
        assert wire.is_closed()
    else:
        assert wire.ask(request(HELLO)).status == 200


MALFORMED = {
    "not HTTP at all": b"hello world\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": request(HELLO, method="BREW"),
    "no path": request(method="GET", path="*"),
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a length in words": request(HELLO, headers={"Content-Length": "abc"}),
    "a negative length": request(HELLO, headers={"Content-Length": "-5"}),
    "an endless length": request(HELLO, headers={"Content-Length": "9" * 30}),
    "two lengths": b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab" % CHAT.encode(),
    "both framings": request(chunked(HELLO), headers={"Content-Length": "5", "Transfer-Encoding": "chunked"}),
    "a folded header": b"GET /health HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n",
    "a NUL in a header": b"GET /health HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n",
    "a chunk without size": request(b"zz\r\nxx\r\n", headers={"Transfer-Encoding": "chunked"}),
    "an unknown framing": request(HELLO, headers={"Transfer-Encoding": "gzip"}),
    "a very long line": request(method="GET", path="/" + "n" * 20_000),
    "a very long header": request(method="GET", path="/health", headers={"X-A": "n" * 20_000}),
    "very many headers": request(method="GET", path="/health", headers={f"X-{n}": "a" for n in range(300)}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_http(gateway: Gateway, wire: Wire, name: str) -> None:
    answer = wire.ask(MALFORMED[name])
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["server"] == "llm-gateway"
    assert UUID7.fullmatch(answer.headers["x-request-id"])
    assert wire.is_closed()
    assert not [line for line in gateway.log if line["level"] == "error"]


def test_framing_that_breaks_later_is_told(lane: str, gateway: Gateway, wire: Wire) -> None:
    """aiohttp does not tell its reader of a broken chunk: there the body just never ends."""
    wire.send(request(headers={"Transfer-Encoding": "chunked"}) + b"5\r\nabcde\r\n")
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 1)
    answer = wire.ask(b"zz\r\n")
    assert (answer.status, answer.error["code"]) == TOLD[lane]
    assert wire.is_closed()
    assert not [line for line in gateway.log if line["level"] == "error"]


TOLD = {"fast": (400, "validation_error"), "aiohttp": (408, "request_timeout")}


@pytest.mark.parametrize("path", [CHAT, "/health", "/nope"])
def test_a_sane_request_id_is_kept(wire: Wire, path: str) -> None:
    for sane in ("a", "x" * 128, "req_1.2:3-4+5/6=", "01a1fb06-d5d6-7bae-b54a-a271646dc396"):
        assert wire.ask(request(HELLO, path=path, headers={"X-Request-Id": sane})).headers["x-request-id"] == sane


@pytest.mark.parametrize("insane", ["", "x" * 129, "a b", 'a"b', "a\tb", "caf\xe9", "<script>", "a;b"])
def test_an_insane_request_id_is_replaced(wire: Wire, insane: str) -> None:
    made = [wire.ask(request(HELLO, headers={"X-Request-Id": insane})).headers["x-request-id"] for _ in range(2)]
    assert all(UUID7.fullmatch(each) for each in made)
    assert made[0] < made[1]


@pytest.mark.parametrize(
    "data",
    [request(HELLO), request(STREAM), request(b"{"), request(method="GET", path="/nope")],
    ids=["whole", "stream", "refused", "unknown"],
)
def test_what_the_headers_say(wire: Wire, data: bytes) -> None:
    answer = wire.ask(data)
    assert answer.headers["server"] == "llm-gateway"
    assert not re.search("aiohttp|python", str(answer.headers), re.IGNORECASE)
    assert "date" in answer.headers
    if answer.status == 200:
        assert answer.headers["x-gateway-provider"] == "echo"
        assert answer.headers["x-gateway-model"] == "echo"
        assert answer.headers["x-gateway-attempts"] == "1"
        assert re.fullmatch(r"(\w+;dur=[0-9.]+(, )?)+", answer.headers["server-timing"])
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
