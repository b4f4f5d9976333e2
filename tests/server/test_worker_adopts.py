"""A worker that cannot adopt a configuration says so, whatever step of it fails: silence would hold up the reload."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import wiring
from gateway._fast import Arena
from gateway.config import Config, PolicyOptions
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


class Closes:
    """A policy that tells when it is made and closed."""

    class Options(PolicyOptions):
        round: int = 0

    said: list[str] = []

    def __init__(self, options: Options) -> None:
        self.round = options.round
        self.said.append(f"made {self.round}")

    def on_head(self, exchange: object) -> None:
        return

    def close(self) -> None:
        self.said.append(f"closed {self.round}")


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_whose_log_cannot_be_opened_closes_what_it_has_made_and_no_more(tmp_path: Path) -> None:
    """An extension may hold a file, a thread, a connection; a reload is tried again and again."""
    ours, theirs = Channel.pair()
    arena = Arena()
    arena.join(1)

    def configured(log: str, *rounds: int) -> bytes:
        policies = [{"type": f"{__name__}:Closes", "round": each} for each in rounds]
        file = tmp_path / "gateway.yaml"
        file.write_text(json.dumps({"logging": {"log": log, "access_log": "off"}, "policies": policies}))
        return pickle.dumps(wiring.load([file]))

    async def adopts() -> None:
        worker = Worker(1, theirs, arena)
        worker._begin(Adopt(1, configured("off", 1)))
        await worker._adopt(Adopt(2, configured(str(tmp_path / "nowhere" / "log"), 1, 2)))
        await settled()
        worker.logs.close()

    asyncio.run(adopts())
    assert [type(message) for message, _ in ours.receive()] == [Failed]
    assert Closes.said == ["made 1", "made 2", "closed 2"]
    ours.close()
    theirs.close()


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
        await worker._adopt(Adopt(2, CONFIG))
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
