"""Everything that goes wrong, at once and at random: nothing is left behind, nothing is complained about."""

from __future__ import annotations

import asyncio
import random

from tests.harness import (
    CLOSE,
    HANG,
    RESET,
    FakeProvider,
    Gateway,
    Seen,
    chunked,
    config_for,
    events,
    eventually,
    whole,
)
from tests.harness.fake_provider import Steps
from tests.relay.chat import DONE, HELLO, ROLE, STOP, drip, event
from tests.relay.wire import request

CLOCKS = {"timeouts": {"connect": "1s", "first_content": "80ms", "idle": "80ms", "total": "200ms"}}
SAID: tuple[Steps, ...] = (
    [RESET],
    [HANG],
    [0.01, b"junk", CLOSE],
    whole(b"{}"),
    whole(b"{}", status=500),
    chunked(events("x")),
    chunked([0.005, ROLE, 0.005, HELLO, STOP, RESET]),
    chunked([ROLE, 0.12, HELLO, STOP + DONE]),
    chunked([ROLE + HELLO, *drip(50, 0.01, HELLO)]),
    chunked([HELLO, event({"error": {"message": "no"}}), HANG]),
)


async def _crowd(port: int, random_: random.Random, count: int) -> None:
    places = asyncio.Semaphore(40)

    async def one(data: bytes, patience: float) -> None:
        async with places:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            try:
                async with asyncio.timeout(patience):
                    while await reader.read(4096):
                        pass
            except (TimeoutError, ConnectionError):
                pass
            writer.close()

    await asyncio.gather(*(one(request(stream=random_.random() < 0.7), random_.random() * 0.4) for _ in range(count)))


def test_a_bad_day(lane: str) -> None:
    random_ = random.Random(14)

    def say(_: Seen) -> Steps:
        return random_.choice(SAID)

    with FakeProvider() as first, FakeProvider() as second:
        first.answer(say)
        second.answer(say)
        settings = {"providers": {"p0": CLOCKS, "p1": CLOCKS}, "streaming": {"keepalive_after": "10ms"}}
        environ = {"PYTHONWARNINGS": "always", "PYTHONASYNCIODEBUG": "1"}
        with Gateway(config_for(first.url, second.url, **settings), lane=lane, environ=environ) as gateway:
            asyncio.run(_crowd(gateway.port, random_, 500))
            eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
            counted = [name for name in gateway.metrics() if name.startswith("llm_gateway_upstream_attempts_total")]
            outcomes = {name.partition('outcome="')[2].rstrip('"}') for name in counted}
            assert outcomes >= {"cancelled", "timeout", "provider_error", "provider_connection_lost"}
            assert gateway.stop() == 0
            complaints = [line for line in gateway.log if line["level"] in ("error", "warning")]
            assert not [line for line in complaints if " took " not in line["message"]]  # a busy machine is slow
            assert "Warning" not in gateway.output
            assert "never retrieved" not in gateway.output
            assert "Traceback" not in gateway.output
