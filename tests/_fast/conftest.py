"""Every case here runs over both: the compiled module and its twin."""

from __future__ import annotations

from types import ModuleType

import pytest

from gateway import _fast
from tests._fast import twins


@pytest.fixture(scope="session", params=["python", "compiled"])
def fast(request: pytest.FixtureRequest) -> ModuleType:
    return twins if request.param == "python" else _fast
