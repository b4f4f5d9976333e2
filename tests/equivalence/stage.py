"""Both lanes on stage: the same configuration served by each, with a provider of its own behind it.

The limits are small enough to reach and the patience short enough to run out. Model `m` has one target; `pair` has two
of which the first cannot be reached; `slow` is a provider that is given little time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.equivalence import acts
from tests.equivalence.conversation import Outcome, Script, hold
from tests.harness import FakeProvider, Gateway, config_for

LANES = ("fast", "aiohttp")
MAX_BODY = 64 << 10
PATIENCE = 1.0  # seconds: for a head, for a body
CHAT = "/v1/chat/completions"


@dataclass
class Side:
    """One lane, as its clients and its provider see it."""

    lane: str
    gateway: Gateway
    provider: FakeProvider


def configuration(url: str, **server: Any) -> dict[str, Any]:
    """What both lanes serve."""
    limits = {
        "max_body": f"{MAX_BODY}B",
        "body_timeout": f"{PATIENCE}s",
        "header_timeout": f"{PATIENCE}s",
        "keepalive_timeout": "2s",
        "drain_timeout": "5s",
    }
    quick = {"connect": "1s", "first_content": "500ms", "idle": "500ms", "total": "4s"}
    return config_for(
        url,
        "http://127.0.0.1:9/v1",
        server=limits | server,
        providers={
            "p1": {"models": {"dead": {}}},
            "slow": {"type": "custom", "endpoint": url, "models": {"slow": {}}, "timeouts": quick},
            "echo": {"type": "echo", "models": {"echo": {}, "org/model": {}}},
        },
        models={"pair": {"targets": [{"provider": "p1", "model": "dead"}, {"provider": "p0", "model": "m"}]}},
        streaming={"keepalive_after": "300ms", "client_write": "2s"},
        logging={"level": "debug"},
    )


class Stage:
    """Runs until the ``with`` block ends."""

    def __init__(self, lanes: Sequence[str] = LANES, **server: Any) -> None:
        self._lanes, self._server = lanes, server
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        with contextlib.ExitStack() as stack:
            sides: list[Side] = []
            for lane in self._lanes:
                provider = stack.enter_context(FakeProvider())
                provider.answer(acts.play)
                sides.append(Side(lane, Gateway(configuration(provider.url, **self._server), lane=lane), provider))
            self.sides = sides
            self.each(lambda side: side.gateway.__enter__())
            for side in sides:
                stack.push(side.gateway.__exit__)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hold(self, scripts: Sequence[Script]) -> list[tuple[Outcome, ...]]:
        """Every script with each lane: for each script, the lanes' outcomes."""
        return list(zip(*self.each(lambda side: hold(side.gateway.port, scripts)), strict=True))

    def each(self, do: Callable[[Side], Any]) -> list[Any]:
        """With both at once; gives what each gave, or raises what one raised."""
        results: list[Any] = [None] * len(self.sides)

        def one(number: int) -> None:
            try:
                results[number] = do(self.sides[number])
            except BaseException as problem:
                results[number] = problem

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(self.sides))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results
