"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Whatever is entered here is left when the test ends."""
    with ExitStack() as entered:
        yield entered
