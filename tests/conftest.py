"""What every room's tests have: a scripted provider, the lanes, and generated examples that are the same in every run.

A busy machine fails none of those examples.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import FakeProvider

settings.register_profile("seeded", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seeded")


@pytest.fixture(scope="module", params=["fast", "aiohttp"])
def lane(request: pytest.FixtureRequest) -> str:
    """Who asks for it is run over both."""
    return str(request.param)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    """One for all tests of a file; each says what it answers."""
    with FakeProvider() as running:
        yield running
