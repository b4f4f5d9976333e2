"""One gateway per test file and lane, with limits small enough to reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Gateway, config_for
from tests.server.raw import Wire

MAX_BODY = 64 << 10
BODY_TIMEOUT = 2.0


@pytest.fixture(scope="module")
def gateway(lane: str) -> Iterator[Gateway]:
    server = {"max_body": "64KiB", "body_timeout": f"{BODY_TIMEOUT:.0f}s"}
    echo = {"echo": {"type": "echo", "models": {"echo": {}, "org/model": {}}}}
    with Gateway(config_for(server=server, providers=echo), lane=lane) as running:
        yield running


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with Wire(gateway.port) as connection:
        yield connection
