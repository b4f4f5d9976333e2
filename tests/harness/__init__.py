"""What tests are built on: the real gateway as a process, a fake provider that plays scripted bytes."""

from tests.harness.fake_provider import CLOSE, HANG, RESET, FakeProvider, Seen, chunked, events, whole
from tests.harness.gateway_process import Gateway, config_for
from tests.harness.waiting import eventually

__all__ = [
    "CLOSE",
    "HANG",
    "RESET",
    "FakeProvider",
    "Gateway",
    "Seen",
    "chunked",
    "config_for",
    "events",
    "eventually",
    "whole",
]
