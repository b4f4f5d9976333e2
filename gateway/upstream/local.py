"""The upstream of a provider that answers inside the process: its pauses and bytes, played in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from gateway.contracts import Feed, PerformingProvider, WireRequest
from gateway.deadlines import Clock


class LocalUpstream:
    """Plays what the provider performs."""

    def __init__(self, provider: PerformingProvider) -> None:
        self._provider = provider

    async def send(self, request: WireRequest, waiting: Callable[[Clock], None]) -> LocalResponse:
        waiting(Clock.FIRST_CONTENT)
        performance = self._provider.perform(request)
        return LocalResponse(performance.status, performance.headers, performance.parts)

    async def close(self) -> None:
        return None


class LocalResponse:
    """A performance under way."""

    def __init__(self, status: int, headers: Mapping[str, str], parts: Iterator[tuple[float, bytes]]) -> None:
        self.status = status
        self.headers = headers
        self._parts = parts

    async def push(self, feed: Feed) -> None:
        for pause, data in self._parts:
            await asyncio.sleep(pause)  # also with no pause: others get their turn between two parts
            waiting = feed(data)
            if waiting is not None:
                await waiting

    def close(self) -> None:
        self._parts = iter(())
