"""The aiohttp lane where it is not as good as the fast one, and what it does about that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import HANG, FakeProvider, Gateway, config_for, eventually
from tests.relay import wire as relay
from tests.server.raw import Wire, request

CEILING = 10.0  # the promise is one second


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider) -> Iterator[Gateway]:
    config = config_for(provider.url, server={"body_timeout": "2s"})
    with Gateway(config, lane="aiohttp") as running:
        yield running


def test_framing_that_breaks_later_ends_at_the_body_s_clock(gateway: Gateway) -> None:
    """Once a request is being read, aiohttp does not tell its reader of a broken chunk: the body just never ends."""
    with Wire(gateway.port) as wire:
        wire.send(request(headers={"Transfer-Encoding": "chunked"}) + b"5\r\nabcde\r\n")
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 1)
        answer = wire.ask(b"zz\r\n")
        assert answer.status == 408
        assert answer.error["code"] == "request_timeout"
        assert wire.is_closed()
    assert not [line for line in gateway.log if line["level"] == "error"]


FURTHER = {
    "many requests": relay.request() * 100,
    "a large request": relay.request() + relay.request(padding=1_000_000),
}


@pytest.mark.parametrize("further", FURTHER)
def test_what_it_has_sent_ahead_does_not_hide_that_a_client_left(
    provider: FakeProvider, gateway: Gateway, further: str
) -> None:
    """aiohttp stops reading what is too far ahead, and then does not see the end."""
    provider.answer([HANG])
    count = len(provider.seen)
    with relay.WireClient(gateway.port) as client:
        client.send(FURTHER[further])
        seen = eventually(lambda: provider.seen[count:])[0]
    assert seen.left.wait(CEILING)
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
    assert len(provider.seen) == count + 1
