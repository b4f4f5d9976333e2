"""Connections to a provider: kept, found dead, tried once more, never desynchronised."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx2 as httpx
import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.upstream.aiohttp_client import AiohttpResponse
from tests.harness import (
    CLOSE,
    HANG,
    RESET,
    FakeProvider,
    Gateway,
    Seen,
    chunked,
    config_for,
    events,
    eventually,
    whole,
)
from tests.harness.fake_provider import Steps
from tests.upstream.asking import Client, request, run, upstream_of

ANSWER = {"id": "chatcmpl-1", "choices": []}
ENDS = {"closed": [CLOSE], "reset": [RESET]}


def _at_rest(gateway: Gateway) -> None:
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)


def test_a_connection_is_used_again(provider: FakeProvider, gateway: Gateway) -> None:
    provider.answer(whole(ANSWER), chunked(events("x")), whole(ANSWER, status=400), whole(ANSWER))
    before = len(provider.seen)
    assert [gateway.chat(stream=stream).status_code for stream in (False, True, False, True)] == [200, 200, 400, 502]
    assert len({seen.connection for seen in provider.seen[before:]}) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_a_kept_connection_that_died_costs_nothing(
    provider: FakeProvider, gateway: Gateway, end: str, stream: bool
) -> None:
    asked: Counter[int] = Counter()
    good = chunked(events("x")) if stream else whole(ANSWER)

    def script(seen: Seen) -> Steps:
        asked[seen.connection] += 1
        return good if asked[seen.connection] == 1 else ENDS[end]

    _at_rest(gateway)
    provider.answer(script)
    before, connections = len(provider.seen), provider.connections
    gateway.chat(stream=stream)
    answers = [gateway.chat(stream=stream) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-gateway-attempts"] for answer in answers} == {"1"}
    assert provider.connections > connections
    assert len(provider.seen) - before <= 4 + 4


@pytest.mark.parametrize("end", ENDS)
def test_a_new_connection_that_breaks_is_not_tried_again(provider: FakeProvider, gateway: Gateway, end: str) -> None:
    provider.answer([b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}", CLOSE])
    gateway.chat()  # no connection is kept after this one
    provider.answer(ENDS[end])
    before = len(provider.seen)
    answer = gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_connection_lost")
    assert len(provider.seen) == before + 1


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nconte", b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"])
def test_a_kept_connection_that_breaks_within_the_answer_is_not_tried_again(
    provider: FakeProvider, gateway: Gateway, part: bytes
) -> None:
    provider.answer(whole(ANSWER))
    gateway.chat()
    before = len(provider.seen)
    provider.answer([part, CLOSE])
    assert gateway.chat().status_code == 502
    assert len(provider.seen) == before + 1


def _bytes(steps: Steps) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


POISON = _bytes(whole(b'{"poison":1}'))

AFTERWARDS = {
    "more than the length said": _bytes(whole(b"{}")) + b'{"x":1}',
    "a second answer": _bytes(whole(b"{}")) + POISON,
    "after the last chunk": _bytes(chunked(events("x"))) + POISON,
    "half an answer": _bytes(whole(b"{}")) + POISON[:30],
}


@pytest.mark.parametrize("case", AFTERWARDS)
@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_what_follows_an_answer_never_reaches_the_next_caller(
    provider: FakeProvider, gateway: Gateway, case: str, pause: float
) -> None:
    said = AFTERWARDS[case]
    at = said.index(b"HTTP/1.1", 1) if b"HTTP/1.1" in said[1:] else len(said) - 7
    provider.answer([said[:at], pause, said[at:], HANG])
    gateway.chat(stream="chunk" in case)
    time.sleep(10 * pause)  # what comes late has come: nobody can tell it from an answer to a request under way
    provider.answer(whole(b'{"mine":1}'))
    for _ in range(3):
        answer = gateway.chat()
        assert (answer.status_code, answer.content) == (200, b'{"mine":1}')


@pytest.mark.parametrize("stream", [False, True])
def test_what_comes_when_nobody_asks_never_reaches_the_next_caller(
    provider: FakeProvider, gateway: Gateway, stream: bool
) -> None:
    good = chunked(events("x")) if stream else whole(b'{"mine":0}')
    provider.answer([*good, 0.1, POISON], whole(b'{"mine":1}'), whole(b'{"mine":2}'))
    gateway.chat(stream=stream)
    assert provider.seen[-1].answered.wait(20)
    assert [gateway.chat().content for _ in range(2)] == [b'{"mine":1}', b'{"mine":2}']


@pytest.fixture
def plain() -> Iterator[str]:
    """A server that answers a TLS greeting in plain HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_who_cannot_be_reached(plain: str, lane: str) -> None:
    places = {
        "closed": "http://127.0.0.1:1/v1",
        "plain": plain,
    }
    config = config_for(*places.values())
    config["models"] = {
        name: {"targets": [{"provider": f"p{number}", "model": "m"}]} for number, name in enumerate(places)
    }
    said = {"closed": "cannot be reached", "plain": "TLS"}
    with Gateway(config, lane=lane) as lonely:
        for name, words in said.items():
            for stream in (False, True):
                answer = lonely.chat(model=name, stream=stream)
                assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_unreachable")
                assert words in answer.json()["error"]["message"]


def test_a_name_that_cannot_be_resolved(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
        upstream = upstream_of(client)
        with pytest.raises(GatewayError, match="p0: its host name cannot be resolved") as caught:
            await upstream.send(request("http://nowhere.invalid/v1"), lambda _: None)
        assert caught.value.kind is errors.CONNECT_FAILED
        await upstream.close()

    asyncio.run(main())


def test_a_refused_certificate_is_told_as_one(client: Client, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    refused.verify_message = "self-signed certificate"

    async def handshake(*_: object, sock: socket.socket, **__: object) -> None:
        sock.close()
        raise refused

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", handshake)
        upstream = upstream_of(client)
        with pytest.raises(GatewayError, match="p0 cannot be reached: TLS: self-signed certificate") as caught:
            await upstream.send(request(plain), lambda _: None)
        assert caught.value.kind is errors.CONNECT_FAILED
        await upstream.close()

    asyncio.run(main())


def test_what_the_clients_connection_raises_is_not_the_providers_fault() -> None:
    class Content:
        async def readany(self) -> bytes:
            return b"data"

    def feed(_: bytes) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    response: Any = SimpleNamespace(status=200, headers={}, content=Content(), connection=None)
    with pytest.raises(ConnectionError):
        asyncio.run(AiohttpResponse("p0", response).push(feed))


def test_a_full_pool_is_our_own_503_and_says_so(lane: str) -> None:
    limits = {"connection_pool": {"max_connections_per_host": 1}, "timeouts": {"connect": "300ms"}}
    with FakeProvider() as busy, Gateway(config_for(busy.url, providers={"p0": limits}), lane=lane) as narrow:
        busy.answer([HANG])
        waiting = threading.Thread(target=lambda: ask_in_vain(narrow), daemon=True)
        waiting.start()
        eventually(lambda: busy.seen, what="the first request at the provider")
        answer = narrow.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "connections_exhausted")
        assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == ("true", "1")
        narrow.process.kill()
        waiting.join(20)


def test_no_descriptor_left_is_our_own_503(client: Client, provider: FakeProvider) -> None:
    async def ask() -> None:
        upstream = upstream_of(client)
        with suppress(OSError):
            while True:
                held.append(socket.socket())
        try:
            await upstream.send(request(provider.url), lambda _: None)
        finally:
            for each in held:
                each.close()
            await upstream.close()

    held: list[socket.socket] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with pytest.raises(GatewayError) as caught:
            run(ask)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.kind is errors.NO_CONNECTION


def ask_in_vain(gateway: Gateway) -> None:
    with suppress(httpx.TransportError):
        gateway.chat()


def test_a_providers_cookies_are_not_kept(provider: FakeProvider, lane: str) -> None:
    """Not from one caller to the next. A name, because no client keeps the cookies of a bare address."""
    with Gateway(config_for(provider.url.replace("127.0.0.1", "localhost")), lane=lane) as gateway:
        provider.answer(whole(ANSWER, headers={"set-cookie": "session=of-the-first-caller; Path=/"}))
        assert "set-cookie" not in gateway.chat().headers
        gateway.chat()
        assert "cookie" not in provider.seen[-1].headers
