"""Heads as they go over the wire: the same bytes mean the same to both clients, and nobody writes a line but we."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contracts import WireHead, WireRequest
from gateway.upstream import routes
from gateway.upstream.fast_client import FastUpstream
from tests.harness import FakeProvider, whole
from tests.upstream.asking import CLIENTS, Client, ask, request, run, upstream_of

PATHS = ["", "/", "/v1/chat/completions", "/a%20b/~x", "/v1?api-version=2024-10-21&x=a+b", "/v1/models/a:b@c,d;e=f"]


@pytest.mark.parametrize("path", PATHS)
def test_both_clients_ask_alike(provider: FakeProvider, path: str) -> None:
    provider.answer(whole(b"x"))
    headers: dict[str, Any] = {"X-Key": "Bearer k", "user-agent": "llm-gateway/1", "accept": "a/b", "x-accents": "é"}
    for client in CLIENTS.values():

        async def main(client: Client = client) -> None:
            upstream = upstream_of(client)
            assert (await ask(upstream, request(f"http://127.0.0.1:{provider.port}{path}", **headers))).body == b"x"
            await upstream.close()

        run(main)
    one, other = provider.seen[-2:]
    assert (one.method, one.path, one.headers, one.body) == (other.method, other.path, other.headers, other.body)
    assert set(one.headers) == {"host", "content-length", "content-type", *(name.lower() for name in headers)}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a.test/v1", "a.test"),
        ("http://a.test:80/v1", "a.test"),
        ("https://a.test:443/v1", "a.test"),
        ("https://a.test:80/v1", "a.test:80"),
        ("http://A.Test:8080/v1", "a.test:8080"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
        ("https://[::1]/v1", "[::1]"),
    ],
)
def test_the_host_is_the_name_and_an_unusual_port(url: str, host: str) -> None:
    lines = routes.lines(WireHead("POST", url, {})).decode()
    assert lines == f"POST /v1 HTTP/1.1\r\nHost: {host}\r\n"


@pytest.mark.parametrize("bad", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_nobody_else_ends_a_line(bad: str) -> None:
    for head in (
        WireHead("POST", "http://a.test/", {"x-key": bad}),
        WireHead("POST", "http://a.test/", {bad: "x"}),
        WireHead(bad, "http://a.test/", {}),
    ):
        with pytest.raises(ValueError, match=r"sent|control") as caught:
            routes.lines(head)
        assert bad not in str(caught.value)
    for url in (f"http://a.test/{bad}", f"http://a.test/?{bad}", f"http://{bad}/"):
        try:
            lines = routes.lines(WireHead("POST", url, {}))
        except ValueError:
            continue
        assert lines.count(b"\r\n") == 2
        assert lines.count(b"\n") == 2
        assert b"\0" not in lines


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "connection", "", "a b", "a:"])
def test_what_frames_a_request_is_ours_to_write(name: str) -> None:
    with pytest.raises(ValueError, match="not sent"):
        routes.lines(WireHead("POST", "http://a.test/", {name: "x"}))


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "", "PO ST"])
def test_methods_that_are_not_sent(method: str) -> None:
    with pytest.raises(ValueError, match="not sent"):
        routes.lines(WireHead(method, "http://a.test/", {}))


def test_a_head_is_rendered_once_for_each_upstream(provider: FakeProvider) -> None:
    provider.answer(whole(b"x"))
    asked = request(provider.url)

    async def main() -> None:
        one, other = (upstream_of(FastUpstream) for _ in range(2))
        await ask(one, asked)
        route = asked.head.rendered
        await ask(one, WireRequest(asked.head, b"other"))
        assert asked.head.rendered is route
        await ask(other, asked)
        assert asked.head.rendered is not route
        assert "Bearer" not in repr(asked.head.rendered)
        await one.close()
        await other.close()

    run(main)
