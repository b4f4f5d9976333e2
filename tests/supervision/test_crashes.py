"""Workers that cannot live: a clear end when nobody comes up, patience with one that dies again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.harness import Gateway, eventually
from tests.harness.gateway_process import ROOT
from tests.harness.load import Load
from tests.supervision.instance import (
    PROBING,
    QUICK,
    configuration,
    generations,
    health,
    hup,
    is_complete,
    kill,
    order,
    pids,
    restarts,
    said,
    with_probe,
    write,
)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return tmp_path / "orders.json"


@pytest.mark.parametrize("how", ["exit", "kill", "raise", "abort", "sys.exit"])
def test_nobody_comes_up(orders: Path, how: str) -> None:
    """Good for the checker, deadly for every worker: it is tried a few times, ever more slowly, and said."""
    file = orders.with_name("gateway.yaml")
    file.write_text(yaml.safe_dump(with_probe(configuration(), orders, worker=how)))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, **PROBING},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no worker comes up" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr.splitlines()[-1]
    assert 3 <= done.stderr.count("worker has died") <= 20, "neither at once nor for ever"
    assert 0.1 < time.monotonic() - began < 60


def test_a_reload_that_kills_workers_leaves_the_others_serving(orders: Path) -> None:
    """It was approved, and yet no worker can adopt it: those there are go on, and new ones are tried."""
    config = with_probe(configuration(), orders)
    with Gateway(config, environ=PROBING) as gateway:
        order(orders, worker="raise")
        config["policies"][0]["round"] = 1
        write(gateway, config)
        with Load(("127.0.0.1", gateway.port), kept=4, fresh=4, model=QUICK) as load:
            hup(gateway)
            eventually(lambda: said(gateway, "cannot adopt"), what="it is said")
            for _ in range(10):
                load.goes_on()
            order(orders, worker="nothing")  # cured: the next try succeeds
            eventually(lambda: generations(gateway) == {2} and is_complete(gateway, 2), ceiling=100, what="cured")
            load.goes_on()
        load.loses_nothing()
        assert restarts(gateway).get("failed", 0) >= 2


def test_a_worker_that_dies_again_and_again_is_restarted_slower_and_the_other_serves() -> None:
    with Gateway(configuration()) as gateway:
        stays = pids(gateway)[1]
        moments: list[float] = []
        with Load(("127.0.0.1", gateway.port), fresh=4, model=QUICK) as load:
            for _ in range(5):
                kill(gateway, next(pid for pid in pids(gateway) if pid != stays))
                moments.append(time.monotonic())
                load.goes_on()
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert gaps[-1] > gaps[0]
        assert gaps[-1] > 0.4, "it is slowed down"
        assert all("Refused" not in lost.why and "Timeout" not in lost.why for lost in load.lost), load.lost
        eventually(lambda: is_complete(gateway, 2), ceiling=50)
        assert restarts(gateway) == {"killed": 5}


def test_while_a_replacement_does_not_come_up_the_other_worker_has_its_connections(orders: Path) -> None:
    """The dead one's socket gets half of all new connections: they are served as ever, not kept for its successor."""
    with Gateway(with_probe(configuration(), orders), environ=PROBING) as gateway:
        order(orders, worker="hang")
        os.kill(pids(gateway)[0], signal.SIGKILL)
        eventually(lambda: "starting" in [worker["state"] for worker in health(gateway)["workers"]])
        with Load(("127.0.0.1", gateway.port), fresh=8, model=QUICK) as load:
            for _ in range(20):
                load.goes_on()
        load.loses_nothing()
        assert load.slowest["fresh"] < 10, "it waited"
        order(orders)
        os.kill(next(w["pid"] for w in health(gateway)["workers"] if w["state"] == "starting"), signal.SIGKILL)
        eventually(lambda: is_complete(gateway, 2), ceiling=50)
