"""Many paced streams at once: the CPU time of one event on its way through a proxy, and how soon the first one comes.

Every connection asks for stream after stream. Events and CPU time are counted in a window in which all of them run, and
the time to first content of every stream that begins in it; all streams, before and after, must arrive whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop

from benchmarks import bodies, client, machine, measures
from benchmarks.measures import Bound, Settings
from benchmarks.programs import Missing, Stage, Way
from benchmarks.results import Results, added, rounds

CEILING = 20.0  # seconds for the last streams to end
BUSY = 0.8  # of a core: a client that has more to do measures itself
COST = Bound(most=1.3), Bound(most=1.0)
FIRST = {"p50": Bound(most=0.2, unit="ms"), "p99": Bound(most=1.0, unit="ms")}


@dataclass(slots=True)
class Flow:
    """One round's outcome."""

    wanted: int  # events of one stream
    events: int = 0
    cpu_seconds: float = 0.0
    client_busy: float = 0.0
    first: list[float] = field(default_factory=list)  # seconds to the first content
    ended: int = 0
    torn: list[tuple[int, int]] = field(default_factory=list)  # (status, events)

    def note(self, ended: client.Client) -> None:
        self.ended += 1
        if ended.broken or ended.status != 200 or ended.events != self.wanted:
            self.torn.append((ended.status, ended.events))


class Streams:
    """So many connections, each asking for one stream after the other until told to cease."""

    def __init__(self, way: Way, settings: Settings) -> None:
        self._way = way
        self._settings = settings
        self._request = bodies.request(
            way.ports.stream, bodies.stream(settings.events, settings.interval_ms), bodies.SDK_HEADERS
        )
        self._outcome = Flow(settings.events)
        self._running = 0
        self._counting = self._ceased = False
        self._all_ended = asyncio.Event()

    async def run(self) -> Flow:
        clients = await client.connect(self._way.ports.stream, self._settings.streams, self._finished)
        one_stream = self._settings.events * self._settings.interval_ms / 1000
        for each in clients:
            self._begin(each)
            await asyncio.sleep(one_stream / self._settings.streams)  # so that they don't come in step
        await self._count(clients)
        self._ceased = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended.wait(), CEILING)
        for each in clients:
            each.close()
        return check(self._outcome, self._running)

    def _begin(self, each: client.Client) -> None:
        self._running += 1
        each.send(self._request, time.perf_counter())

    async def _count(self, clients: list[client.Client]) -> None:
        self._counting = True
        events, cpu, own = self._looked(clients)
        await asyncio.sleep(self._settings.seconds)
        later = self._looked(clients)
        self._counting = False
        self._outcome.events, self._outcome.cpu_seconds = int(later[0] - events), later[1] - cpu
        self._outcome.client_busy = (later[2] - own) / self._settings.seconds

    def _looked(self, clients: list[client.Client]) -> tuple[float, float, float]:
        return sum(each.events_in_all for each in clients), machine.cpu_seconds(self._way.pid), time.process_time()

    def _finished(self, ended: client.Client) -> None:
        self._running -= 1
        self._outcome.note(ended)
        if self._counting:
            self._outcome.first.append(ended.first_at - ended.sent_at)
        if not self._ceased and not ended.broken:
            self._begin(ended)
        elif not self._running:
            self._all_ended.set()


def check(outcome: Flow, running: int) -> Flow:
    """Every stream complete: the words, the finish marker, usage and [DONE]."""
    if running or outcome.torn:
        raise Missing(
            f"of {outcome.ended + running} streams {len(outcome.torn)} torn and {running} without an end, "
            f"(status, events) {sorted(set(outcome.torn))[:4]}, wanted {outcome.wanted}: no number"
        )
    return outcome


def flow(way: Way, settings: Settings) -> Flow:
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_flow(way, settings))
    finally:
        gc.enable()


async def _flow(way: Way, settings: Settings) -> Flow:
    return await Streams(way, settings).run()


def ask(stage: Stage, settings: Settings, results: Results, watch: Callable[[Way], None]) -> None:
    def once(way: Way) -> dict[str, float]:
        outcome = flow(way, settings)
        watch(way)
        return figures(outcome)

    title = f"{settings.streams} streams of {settings.events} events, {settings.interval_ms} ms apart"
    numbers = rounds(title, settings, [stage.direct, *stage.proxies], results, once)
    results.add(numbers, "each", f"{title}: CPU per event", "us", *COST)
    for part, aim in FIRST.items():
        extra = {part: added(numbers.get(part, {}))}
        results.add(extra, part, f"  added to first content, {part.upper()}", "ms", aim=aim, compare=False)
    busiest = max((share for shares in numbers.get("client", {}).values() for share in shares), default=0.0)
    if busiest > BUSY:
        results.notes.append(f"{title}: the client used {busiest:.0%} of a core, so the times are partly its own")


def figures(outcome: Flow) -> dict[str, float]:
    each = measures.micros_each(outcome.cpu_seconds, outcome.events)
    found = {"client": outcome.client_busy, "events": float(outcome.events)}
    if outcome.first:
        found |= {part: measures.percentile(outcome.first, at) * 1e3 for part, at in (("p50", 0.5), ("p99", 0.99))}
    return found | ({"each": each} if each else {})
