"""Hundreds of clients that take or give a byte a second: nobody beside them notices, each is cut by its own clock."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import Gateway, config_for, eventually
from tests.harness.processes import descriptors
from tests.soak.memory import KiB, MiB, pss
from tests.soak.program import Program


@dataclass(frozen=True)
class Size:
    kinds: dict[str, int]
    clock: int  # seconds after which slow ones are cut
    measured: float  # seconds of ordinary requests, alone and beside them
    rate: float

    def of(self, *kinds: str) -> int:
        return sum(self.kinds[kind] for kind in kinds)


FEW = {"streams": 20, "answers": 10, "large": 3, "heads": 20, "bodies": 10}
MANY = {"streams": 300, "answers": 200, "large": 20, "heads": 300, "bodies": 200}
SMALL = Size(FEW, clock=5, measured=1.0, rate=100)
LARGE = Size(MANY, clock=60, measured=15, rate=200)
PATH = "/v1/chat/completions"
CALM = 0.5  # seconds without a late answer, twice
SLOWER = 3.0  # times the P99 without them
SPARE = 150.0  # milliseconds that a busy machine may add
MOST = {  # of memory, for each
    "streams": 640 * KiB,  # uvloop reads up to 256 KB at once, which may wait to be written while as much has been read
    "answers": 1280 * KiB,
    "large": 10 * MiB,
    "heads": 64 * KiB,
    "bodies": 64 * KiB,
}
ROOM = 8 * MiB
ORDINARY_MOST = 16  # of the ordinary ones, at any moment


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.soak)], ids=["few", "a thousand"])
def test_slow_clients_hurt_nobody_and_are_cut(size: Size, capsys: pytest.CaptureFixture[str]) -> None:
    with Program("flow_provider") as provider, Gateway(configuration(provider.says(), size.clock)) as gateway:
        with Program("ordinary_clients", gateway.port, size.rate) as ordinary:
            assert ordinary.says() == "ready"
            alone = measured(ordinary, size)
            before, files = pss(gateway.workers[0]), open_files(gateway)
            with slow_ones(gateway, size, "streams"):
                count = size.of("streams")
                eventually(lambda: provider.asked() >= count, ceiling=60, what="nobody takes the streams")
                each = (pss(gateway.workers[0]) - before) / count
                with slow_ones(gateway, size, "answers", "large", "heads", "bodies") as others:
                    arriving = ordinary.asked()
                    settled(ordinary)
                    beside = measured(ordinary, size)
                    assert active(gateway) >= size.of("streams", "large")
                    memory = pss(gateway.workers[0]) - before
                    took = all_cut(gateway, others, size, files)
        eventually(lambda: active(gateway) == 0)
        errors = [line for line in gateway.log if line["level"] == "error"]
        assert not errors, json.dumps(errors[0])
        blamed = Counter(line.get("error_code") for line in gateway.access if line["path"] == PATH)
    with capsys.disabled():
        print(f"\n{size.kinds}\nordinary requests alone: {alone}\nas they come: {arriving}\nbeside them: {beside}")
        print(f"{each / KiB:.1f} KiB for each slow stream, {memory / MiB:.1f} MiB for all; cut {took:.1f} s later")
    stalled = blamed["client_stalled"] - size.of("streams", "large")
    assert 0 <= stalled <= size.of("answers")  # as the kernel has taken them over or not
    assert blamed["request_timeout"] == size.of("bodies")
    assert not alone["wrong"]
    assert not beside["wrong"]
    assert beside["answered"] > size.rate * size.measured / 2
    assert beside["p99"] < SLOWER * alone["p99"] + SPARE
    assert each < MOST["streams"]
    assert memory < sum(number * MOST[kind] for kind, number in size.kinds.items()) + ROOM


@contextmanager
def slow_ones(gateway: Gateway, size: Size, *kinds: str) -> Iterator[Program]:
    """So many of these kinds, from their last connection on."""
    with Program("slow_clients", gateway.port, *(f"{kind}={size.kinds[kind]}" for kind in kinds)) as slow:
        assert slow.says() == "running"
        yield slow


def measured(ordinary: Program, size: Size) -> Any:
    """How ordinary requests fare for so many seconds from now."""
    ordinary.asked()
    time.sleep(size.measured)
    return ordinary.asked()


def settled(ordinary: Program) -> None:
    """All that fits into the kernel's buffers has gone there, at the speed of the machine; now they are slow."""

    def calm() -> bool:
        ordinary.asked()
        time.sleep(CALM)
        asked = ordinary.asked()
        return bool(asked["running"] <= 2 and asked["p99"] < SPARE)

    eventually(lambda: calm() and calm(), ceiling=60, what="ordinary requests catch up")


def all_cut(gateway: Gateway, slow: Program, size: Size, files: int) -> float:
    """Wait until the slow ones are gone; gives how many seconds that took."""
    began = time.monotonic()
    ceiling = 10.0 * size.clock
    eventually(lambda: active(gateway) <= ORDINARY_MOST, ceiling=ceiling, pause=0.2)
    given = {kind: size.kinds[kind] for kind in ("heads", "bodies")}
    eventually(lambda: slow.asked() == given, ceiling=ceiling, pause=0.5, what="those that give are told")
    kept = (
        files + 2 * size.of("answers") + size.of("large") + 2 * ORDINARY_MOST
    )  # they have their answer, in the kernel
    assert open_files(gateway) <= kept
    return time.monotonic() - began


def active(gateway: Gateway) -> float:
    return gateway.metrics()["llm_gateway_active_requests"]


def open_files(gateway: Gateway) -> int:
    return len(descriptors(gateway.workers[0]))


def configuration(port: int, clock: int) -> dict[str, object]:
    seconds = f"{clock}s"
    pool = {"connection_pool": {"max_connections_per_host": 0}}
    config = config_for(
        f"http://127.0.0.1:{port}/v1",
        server={"header_timeout": seconds, "body_timeout": seconds},
        streaming={"client_write": seconds},
        providers={"p0": pool},
    )
    config["providers"]["echo"] = {"type": "echo", "models": {"echo": {}}}
    return config
