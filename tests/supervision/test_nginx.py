"""A real nginx in front, with kept connections and its default rules: POSTs are not repeated, so none may be lost.

Small here; `tests/soak` does it for longer.
"""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.harness import FakeProvider, Gateway, eventually
from tests.harness.load import Load
from tests.harness.nginx import Nginx
from tests.supervision.instance import (
    QUICK,
    SLOW,
    configuration,
    health,
    is_complete,
    reload,
    repeats,
    restarts,
)
from tests.supervision.test_reload_under_load import storm

pytestmark = pytest.mark.skipif(Nginx.program is None, reason="nginx is not installed")


def test_nginx_sees_no_broken_connection() -> None:
    behind_nginx(reloads=5, replacements=2)


def behind_nginx(reloads: int, replacements: int) -> None:
    with FakeProvider() as far:
        far.answer(repeats)
        config = configuration(far.url)
        with Gateway(config) as gateway, Nginx(f"127.0.0.1:{gateway.port}") as nginx:
            address = ("127.0.0.1", nginx.port)
            with (
                Load(address, kept=8, fresh=4, model=QUICK) as whole,
                Load(address, kept=4, streams=10, pause=1.0, model=SLOW, seed=2) as slow,
            ):
                storm(gateway, config, reloads, random.Random(5))
                for _ in range(replacements):  # one more, then one less; and by a signal to a worker
                    for number in (3, 2):
                        reload(gateway, {**config, "server": {**config["server"], "workers": number}})
                        whole.goes_on()
                    replace_one(gateway)
                    whole.goes_on()
                slow.goes_on()
            whole.loses_nothing()
            slow.loses_nothing()
            assert restarts(gateway) == {}
            assert " 502 " not in (log := (nginx.folder / "access.log").read_text())
            assert " 504 " not in log
            assert "[error]" not in nginx.errors, nginx.errors[:2000]


def replace_one(gateway: Gateway) -> None:
    """SIGTERM to a worker: another takes its place, new before old."""
    before = [worker["pid"] for worker in health(gateway)["workers"] if worker["state"] == "ready"]
    os.kill(before[0], signal.SIGTERM)

    def replaced() -> bool:
        ready = [worker["pid"] for worker in health(gateway)["workers"] if worker["state"] == "ready"]
        return len(ready) == 2 and before[0] not in ready

    eventually(replaced, ceiling=100, what="a replacement")


def test_a_worker_that_is_told_to_stop_is_replaced_and_not_blamed() -> None:
    with Gateway(configuration()) as gateway:
        with Load(("127.0.0.1", gateway.port), kept=4, fresh=4, streams=0, model=QUICK) as load:
            replace_one(gateway)
            load.goes_on()
        load.loses_nothing()
        assert restarts(gateway) == {}
        eventually(lambda: is_complete(gateway, 2), ceiling=100, what="the old one leaves")
