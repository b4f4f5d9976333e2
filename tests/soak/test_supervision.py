"""Reloads, another number of workers and replacements in full: under wrk and two hundred streams, and behind nginx."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.harness import FakeProvider, Gateway, eventually
from tests.harness.load import Load
from tests.harness.nginx import Nginx
from tests.harness.sampling import Sampling
from tests.harness.wrk import KINDS, Wrk
from tests.supervision.instance import QUICK, SLOW, configuration, health, reload, repeats, restarts
from tests.supervision.test_nginx import behind_nginx
from tests.supervision.test_reload_under_load import ready, storm

pytestmark = [pytest.mark.soak, pytest.mark.skipif(Wrk.program is None, reason="wrk is not installed")]


def test_a_hundred_reloads_and_a_change_of_workers_lose_nothing(tmp_path: Path) -> None:
    with FakeProvider() as far:
        far.answer(repeats)
        config = configuration(far.url, pace="250ms")
        with Gateway(config) as gateway, Sampling(gateway.port) as sampling:
            address = ("127.0.0.1", gateway.port)
            with (
                Wrk(tmp_path, gateway.port, connections=4, model=QUICK) as wrk,
                Load(address, kept=4, fresh=4, model=QUICK) as whole,
                Load(address, streams=200, model=SLOW, seed=2) as slow,
                Load(address, kept=2, streams=10, words=20, model="m", seed=3) as real,
            ):
                dice = random.Random(100)
                storm(gateway, config, 50, dice)
                for number in (3, 1, 2):
                    reload(gateway, {**config, "server": {**config["server"], "workers": number}})
                    eventually(lambda: ready(gateway) == number, ceiling=100)  # noqa: B023
                storm(gateway, config, 50, dice)
                counts = wrk.result()
                for load in (whole, slow, real):
                    load.goes_on()
            for load in (whole, slow, real):
                load.loses_nothing()
            assert slow.answered["stream"] > 200
            assert not any(counts[kind] for kind in KINDS), counts
            sampling.never_fell()
            assert sampling.unanswered == 0
            assert restarts(gateway) == {}
            assert health(gateway)["generation"] >= 50
            eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)


@pytest.mark.skipif(Nginx.program is None, reason="nginx is not installed")
def test_nginx_sees_no_broken_connection_for_long() -> None:
    behind_nginx(reloads=50, replacements=12)
