"""One provider and one gateway for a module: each test runs over both lanes, or over both clients alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import FakeProvider, Gateway, config_for
from tests.upstream.asking import CLIENTS, Client


@pytest.fixture(scope="module", params=CLIENTS)
def gateway(request: pytest.FixtureRequest, provider: FakeProvider) -> Iterator[Gateway]:
    timeouts = {"timeouts": {"connect": "5s", "first_content": "5s", "idle": "5s", "total": "20s"}}
    config = config_for(provider.url, providers={"p0": timeouts}, server={"max_answer": "1MiB"})
    with Gateway(config, lane=request.param) as running:
        yield running


@pytest.fixture(params=CLIENTS)
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(lane: str) -> Client:
    return CLIENTS[lane]
