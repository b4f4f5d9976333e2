"""Requests, streams and megabytes per CPU second: what wrk asks over many connections, without a pause.

The proxy is accounted for what its processes used, so the number is that of a full core only while the proxy is what
everyone waits for; where it had less to do than FULL of its core, a note says so.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks import bodies, client, mock_upstream, wrk
from benchmarks.measures import Bound, Settings
from benchmarks.programs import Missing, Stage, Way
from benchmarks.results import Numbers, Results, rounds

FULL = 0.9  # of a core
ASKED = 8  # streams that are read to their end before a burst counts
WHOLE = Bound(least=0.40), Bound(least=0.60)
TLS = Bound(least=0.35), Bound(least=0.60)
BURST = Bound(least=0.40), Bound(least=0.70)
BODY = Bound(least=0.5), Bound(least=0.8)


@dataclass(frozen=True, slots=True)
class Question:
    """One row: what is asked where, how often at once, and what one answer counts for."""

    title: str
    port: str
    body: bytes
    headers: Mapping[str, str]
    connections: int
    unit: str = "req/CPU-s"
    counts: float = 1.0
    least: int = len(bodies.ANSWER)
    events: int = 0  # of a stream, which is read to its end first
    must: Bound | None = None
    aim: Bound | None = None

    def work(self, way: Way) -> wrk.Work | None:
        port = way.ports.named().get(self.port)
        return None if port is None else wrk.Work(port, self.body, self.headers, self.connections, self.least)


def questions(settings: Settings) -> dict[str, list[Question]]:
    """By the name of their row in BENCH_ROWS."""
    chat, few = bodies.chat("whole"), settings.connections[0]
    sdk, bare = bodies.SDK_HEADERS, bodies.BARE_HEADERS
    burst, mib = settings.burst, settings.body_mib
    return {
        "whole": [
            Question(
                f"chat, whole, SDK head, {count} connections", "whole", chat, sdk, count, must=WHOLE[0], aim=WHOLE[1]
            )
            for count in settings.connections
        ],
        "bare": [
            Question(f"chat, whole, wrk's head, {count} connections", "whole", chat, bare, count)
            for count in settings.connections
        ],
        "tls": [Question("chat, whole, TLS upstream", "tls", bodies.chat("tls"), sdk, few, must=TLS[0], aim=TLS[1])],
        "body": [
            Question(
                f"request body of {mib} MiB",
                "body",
                bodies.large(mib),
                sdk,
                few,
                unit="MiB/CPU-s",
                counts=mib,
                must=BODY[0],
                aim=BODY[1],
            )
        ],
        "burst": [
            Question(
                f"chat, streamed, {burst} events at once",
                "stream",
                bodies.stream(burst, 0),
                sdk,
                few,
                unit="streams/CPU-s",
                least=mock_upstream.payload(burst),
                events=burst,
                must=BURST[0],
                aim=BURST[1],
            )
        ],
    }


def ask(question: Question, stage: Stage, settings: Settings, results: Results, watch: Callable[[Way], None]) -> None:
    def once(way: Way) -> dict[str, float]:
        work = question.work(way)
        if work is None:
            raise Missing("there is no such upstream")
        if question.events:
            asyncio.run(whole_streams(work, question.events))
        load = wrk.push(work, way.pid, stage.cores.load, settings.seconds, lambda: watch(way))
        return per_cpu_second(load, question.counts)

    numbers = rounds(question.title, settings, stage.proxies, results, once)
    results.add(numbers, "per_cpu", question.title, question.unit, question.must, question.aim)
    if note := idle(question.title, numbers):
        results.notes.append(note)
    if question.port == "whole" and (seen := numbers.get("rate", {}).get("gateway")):
        results.gateway_rate = min([*seen, results.gateway_rate or seen[0]])


def per_cpu_second(load: wrk.Load, counts: float) -> dict[str, float]:
    found = {"rate": load.rate * counts, "core": load.core}
    return found | ({"per_cpu": load.requests * counts / load.cpu_seconds} if load.cpu_seconds else {})


def idle(title: str, numbers: Numbers) -> str | None:
    """Who had less to do than there was of its core."""
    cores = {name: statistics.median(shares) for name, shares in numbers.get("core", {}).items() if shares}
    rested = [f"{name} {share:.0%} of its core" for name, share in cores.items() if share < FULL]
    return f"{title}: something else held the proxy up, it used only {', '.join(rested)}" if rested else None


async def whole_streams(work: wrk.Work, events: int) -> None:
    """Read some streams to their end: every event must be there. wrk sees bytes only, which are then compared."""
    everyone = asyncio.Event()
    ended: list[client.Client] = []

    def finished(one: client.Client) -> None:
        ended.append(one)
        if len(ended) == ASKED:
            everyone.set()

    clients = await client.connect(work.port, ASKED, finished)
    request = bodies.request(work.port, work.body, dict(work.headers))
    for each in clients:
        each.send(request, 0.0)
    try:
        await asyncio.wait_for(everyone.wait(), 10)
    except TimeoutError:
        raise Missing(f"{ASKED - len(ended)} of {ASKED} streams never ended: no number") from None
    finally:
        for each in clients:
            each.close()
    torn = [
        (each.status, each.events) for each in clients if each.broken or (each.status, each.events) != (200, events)
    ]
    if torn:
        raise Missing(f"{len(torn)} of {ASKED} streams torn, (status, events) {torn[:4]}, wanted {events}: no number")
