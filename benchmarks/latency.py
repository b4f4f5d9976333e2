"""What each proxy adds to a whole answer at a rate that is easy for it, over the straight way to the upstream."""

from __future__ import annotations

from benchmarks import bodies, measures, pace
from benchmarks.measures import Bound, Settings
from benchmarks.programs import Stage, Way
from benchmarks.results import Results, added, rounds

AIM = {"p50": Bound(most=0.15, unit="ms"), "p99": Bound(most=1.0, unit="ms")}


def ask(stage: Stage, settings: Settings, results: Results) -> None:
    rate = settings.easy_rate(results.gateway_rate)
    body = bodies.chat("whole")

    def once(way: Way) -> dict[str, float]:
        times = pace.pace(way.ports.whole, body, rate, settings.seconds).whole
        return {part: measures.percentile(times, at) * 1e3 for part, at in (("p50", 0.5), ("p99", 0.99))}

    title = f"added to a whole answer at {rate:,.0f}/s"
    numbers = rounds(title, settings, [stage.direct, *stage.proxies], results, once)
    for part, aim in AIM.items():
        extra = {part: added(numbers.get(part, {}))}
        results.add(extra, part, f"{title}, {part.upper()}", "ms", aim=aim, compare=False)  # nginx's is near the tick
