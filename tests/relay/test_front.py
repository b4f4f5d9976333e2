"""Behind nginx: nothing is buffered, and silence is no reason to give up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.harness import FakeProvider, Gateway, chunked, config_for
from tests.relay.chat import ANSWER, DONE, HELLO, ROLE, STOP
from tests.relay.front import Nginx, needs_nginx
from tests.relay.wire import WireClient, request

pytestmark = needs_nginx
COMMENT = b": keep-alive\n\n"
SILENCE, READ_TIMEOUT, AFTER = 1.6, 1, 0.3


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider) -> Iterator[Gateway]:
    with Gateway(config_for(provider.url, streaming={"keepalive_after": f"{AFTER}s"})) as running:
        yield running


@pytest.fixture(scope="module", params=["1.0", "1.1"])
def front(gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Nginx]:
    version = f'proxy_http_version {request.param}; proxy_set_header Connection "";'
    with Nginx(gateway.url, f"proxy_read_timeout {READ_TIMEOUT}s; {version}") as running:
        yield running


def test_silence_before_and_within_a_stream_is_survived(provider: FakeProvider, front: Nginx) -> None:
    provider.answer(chunked([SILENCE, ROLE + HELLO, SILENCE, STOP + DONE]))
    with WireClient(front.port) as client:
        client.send(request())
        client.read_until(DONE)
    assert b" 200 " in client.data[:20]
    assert client.data.count(COMMENT) >= 4
    assert client.data.index(COMMENT) < client.data.index(ROLE) < client.data.rindex(COMMENT)


def test_without_comments_nginx_gives_up(provider: FakeProvider) -> None:
    provider.answer(chunked([SILENCE, ANSWER]))
    with (
        Gateway(config_for(provider.url)) as patient,
        Nginx(patient.url, f"proxy_read_timeout {READ_TIMEOUT}s;") as front,
    ):
        with WireClient(front.port) as client:
            client.send(request())
            client.read_until(b"\r\n\r\n")
        assert b" 504 " in client.data[:20]


def test_a_drip_arrives_as_it_was_sent(provider: FakeProvider, front: Nginx) -> None:
    drips = 6
    words = [HELLO.replace(b"Hello", b"drip-%d" % number) for number in range(drips)]
    provider.answer(chunked([ROLE, *(step for word in words for step in (word, 0.25)), STOP + DONE]))
    with WireClient(front.port) as client:
        client.send(request())
        moments = [client.read_until(b"drip-%d" % number) for number in range(drips)]
        end = client.read_until(DONE)
    gaps = [later - earlier for earlier, later in zip(moments, [*moments[1:], end], strict=True)]
    assert min(gaps) > 0.1, gaps
    assert end - moments[0] > 0.25 * drips * 0.8
    assert b"x-accel-buffering" not in client.data.lower(), "nginx keeps it to itself"
    assert b"cache-control: no-cache" in client.data.lower()


def test_the_first_byte_does_not_wait_for_the_second(provider: FakeProvider, gateway: Gateway) -> None:
    provider.answer(chunked([ROLE + HELLO, 0.25, STOP + DONE]))
    with WireClient(gateway.port) as client:
        client.send(request())
        first = client.read_until(b"Hello")
        assert client.read_until(DONE) - first > 0.2
    assert b"x-accel-buffering: no" in client.data.lower()
    assert time.monotonic() > first
