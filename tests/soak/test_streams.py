"""Thousands of streams at once on one worker: none is lost, every byte is right, and what one costs in memory."""

from __future__ import annotations

import pytest

from tests.harness import Gateway, config_for, eventually
from tests.soak.memory import KiB, pss
from tests.soak.program import Program

SMALL = (300, 8, 250)
LARGE = (8000, 30, 2000)  # streams, words of each, and the pause between them: 4,000 words a second
PER_STREAM = 64 * KiB  # of the worker's memory, most
UNLIMITED = {"p0": {"connection_pool": {"max_connections_per_host": 0}}}


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.soak)], ids=["small", "8000"])
def test_no_stream_is_lost(size: tuple[int, int, int], capsys: pytest.CaptureFixture[str]) -> None:
    count = size[0]
    with Program("flow_provider") as provider:
        url = f"http://127.0.0.1:{provider.says()}/v1"
        with Gateway(config_for(url, providers=UNLIMITED, logging={"access_log": "off"})) as gateway:
            assert gateway.chat(metadata={"size": "100"}).status_code == 200
            (worker,) = gateway.workers
            before = pss(worker)
            with Program("stream_clients", gateway.port, *size) as clients:
                assert clients.says() == "running"
                assert gateway.metrics()["llm_gateway_active_requests"] == count
                beside = pss(worker)
                result = clients.says()
            eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
            after = pss(worker)
            assert not [line for line in gateway.log if line["level"] in ("error", "warning")]
    with capsys.disabled():
        each = (beside - before) / count / KiB
        kept = (after - before) / count / KiB
        print(f"\n{count} streams: {each:.1f} KiB each, {kept:.1f} KiB of it kept after; {result}")
    assert (result["complete"], result["wrong"]) == (count, [])
    assert beside - before < count * PER_STREAM + 4 * 1024 * KiB
