"""A million requests: the worker's memory is as flat at the end as after the first, and nothing goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Gateway, config_for, eventually
from tests.harness.nginx import Nginx
from tests.harness.wrk import KINDS, Wrk
from tests.soak.canned import CannedNginx
from tests.soak.memory import KiB, MiB, rss

pytestmark = pytest.mark.skipif(Wrk.program is None or Nginx.program is None, reason="wrk or nginx is not installed")
ANSWERED = 'llm_gateway_requests_total{provider="p0",model="m",status="200"}'
SAMPLES = 40
ROOM = 2 * MiB  # by which the last quarter may lie above the second


@pytest.mark.parametrize("count", [6_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_memory_is_flat(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with CannedNginx() as provider, Gateway(config_for(f"http://127.0.0.1:{provider.port}/v1")) as gateway:
        (worker,) = gateway.workers
        samples = []
        with Wrk(tmp_path, gateway.port, connections=32, model="m") as wrk:
            for number in range(1, SAMPLES + 1):
                wanted = number * count // SAMPLES
                eventually(lambda: gateway.metrics().get(ANSWERED, 0) >= wanted, ceiling=600, pause=0.1)  # noqa: B023
                samples.append(rss(worker))
            counts = wrk.result()
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
        assert not [line for line in gateway.log if line["level"] in ("error", "warning")]
        assert (gateway.folder / "access.log").read_bytes().count(b"\n") >= count
    quarter = SAMPLES // 4
    early, late = max(samples[quarter : 2 * quarter]), max(samples[-quarter:])
    with capsys.disabled():
        shown = f"{samples[0] // KiB} KiB at first, {early // KiB} in the second quarter, {late // KiB} in the last"
        print(f"\n{counts['answered']} requests: {shown}")
    assert counts["answered"] >= count
    assert not any(counts[kind] for kind in KINDS), counts
    assert late - early < ROOM, samples
