"""One provider and one gateway for a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import FakeProvider, Gateway, config_for


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider) -> Iterator[Gateway]:
    timeouts = {"timeouts": {"connect": "5s", "first_content": "5s", "idle": "5s", "total": "20s"}}
    with Gateway(config_for(provider.url, providers={"p0": timeouts}, server={"max_answer": "1MiB"})) as running:
        yield running
