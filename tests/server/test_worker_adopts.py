"""A worker that cannot adopt a configuration says so, whatever step of it fails: silence would hold up the reload."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Iterator

import pytest

from gateway._fast import Arena
from gateway.config import Config
from gateway.server.channel import Adopt, Adopted, Channel, Failed, Message
from gateway.server.worker import Worker
from gateway.telemetry.application_log import LOGGER

CONFIG = pickle.dumps(Config.model_validate({"logging": {"log": "off", "access_log": "off"}}))


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(LOGGER)
    before = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def answers(*, refuse: bool, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What the supervisor hears of a second configuration."""
    ours, theirs = Channel.pair()
    arena = Arena()
    arena.join(1)

    def held(*_: object) -> None:
        raise TimeoutError("the directory is held")

    async def adopts() -> None:
        worker = Worker(1, theirs, arena)
        worker._begin(Adopt(1, CONFIG))
        if refuse:
            monkeypatch.setattr(worker._scrape, "adopt_all", held)
        worker._adopt(Adopt(2, CONFIG))
        worker.logs.close()

    asyncio.run(adopts())
    said = [message for message, _ in ours.receive()]
    ours.close()
    theirs.close()
    return said


def test_one_that_can_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers(refuse=False, monkeypatch=monkeypatch) == [Adopted(2)]


def test_one_that_finds_the_shared_memory_held_is_to_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers(refuse=True, monkeypatch=monkeypatch) == [Failed(2, "the directory is held")]
