"""Every case here runs over both: the compiled module and its twin."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import twins
from gateway import _fast


@pytest.fixture(scope="session", params=["python", "compiled"])
def fast(request: pytest.FixtureRequest) -> ModuleType:
    return twins if request.param == "python" else _fast
