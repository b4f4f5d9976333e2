"""The meters of requests: every family, and cells bundled so that a request makes no look-ups.

``meters.route(provider, model)`` once when a target is chosen; its attributes are cells. Labels are bounded:

* ``model`` is a name from the configuration; what no configuration knows is counted as ``other``.
* ``provider`` is a configured name, or ``none`` when the request never reached one.
* ``status`` is what the client got; 499 when it left before there was an answer.
* ``outcome``, ``phase``, ``part`` and ``type`` are words of this program.

All of them are true for the machine: sums over the workers, and of a provider one streak of faults that all workers
add to. Its health is written from the streak whenever that changes, and again before each scrape.

Exposed under these names, by the feature that makes them true; a feature that does not exist has no zeros:

=============================================  ====================  ===========================
family                                         labels                comes with
=============================================  ====================  ===========================
llm_gateway_cache_hits_total                   cache_type            the response cache
llm_gateway_rate_limit_exceeded_total          user, model           rate limits; user is the id of a
                                                                     configured key, or ``other``
llm_gateway_cost_dollars_total                 provider, model       prices; the same number also as
                                                                     llm_gateway_cost_dollars, the
                                                                     specification's name for it
=============================================  ====================  ===========================
"""

from __future__ import annotations

from typing import Protocol

from gateway._fast import CounterCell, GaugeCell, HistogramCell
from gateway.telemetry.families import OTHER, Family
from gateway.telemetry.meters import MAX_SERIES, NO_PROVIDER, Meters

FAULTS_UNTIL_UNHEALTHY = 3

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
GAPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OVERHEADS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

ROUTE = ("provider", "model")


class CountsDropped(Protocol):
    """A LogWriter, as far as meters care."""

    @property
    def dropped(self) -> int: ...


def log_drops(meters: Meters) -> Family[CounterCell]:
    """Of every process, the supervisor too."""
    return meters.counter(
        "llm_gateway_log_lines_dropped_total", "Log lines that could not be written, by log.", ("log",)
    )


class RequestMeters:
    """All families about requests, and the cells that belong to no route."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._routes: dict[tuple[str, str], RouteMeters] = {}
        self._providers: dict[str, ProviderMeters] = {}
        self._parts: dict[str, HistogramCell] = {}
        self._called = False
        self._declare_route_families()
        counter, gauge = meters.counter, meters.gauge
        self.active: GaugeCell = gauge("llm_gateway_active_requests", "Requests being served now.").cell()
        self._overhead = meters.histogram(
            "llm_gateway_overhead_seconds", "Time that the gateway itself took, by part.", ("part",), buckets=OVERHEADS
        )
        self._disconnects = counter(
            "llm_gateway_client_disconnects_total", "Clients that left before the end, by phase.", ("phase",)
        )
        self._health = gauge(
            "llm_gateway_provider_health",
            "0 while the last three attempts in a row failed by the provider's own fault, else 1.",
            ("provider",),
            across="one",
        )
        self._streaks = gauge(
            "llm_gateway_provider_faults_in_a_row",
            "Attempts in a row that failed by the provider's own fault.",
            ("provider",),
            across="one",
        )
        self._log_drops = log_drops(meters)
        self._build = gauge(
            "llm_gateway_build_info", "Always 1; the labels say what is running.", ("version", "lane"), across="one"
        )

    def _declare_route_families(self) -> None:
        counter, histogram = self._meters.counter, self._meters.histogram
        self.requests = counter("llm_gateway_requests_total", "Requests answered.", (*ROUTE, "status"))
        self.durations = histogram(
            "llm_gateway_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ROUTE,
            buckets=DURATIONS,
        )
        self.first_tokens = histogram(
            "llm_gateway_time_to_first_token_seconds",
            "From the head of a streamed request to the first content sent to its client.",
            ROUTE,
            buckets=DURATIONS,
        )
        self.gaps = histogram(
            "llm_gateway_inter_chunk_seconds", "Between two chunks of a streamed answer.", ROUTE, buckets=GAPS
        )
        self.tokens = counter(
            "llm_gateway_tokens_total",
            "Tokens as the provider counted them; cached_input is a part of input, reasoning of output.",
            (*ROUTE, "type"),
        )
        self.attempts = counter("llm_gateway_upstream_attempts_total", "Tries at a provider.", (*ROUTE, "outcome"))
        self.malformed = counter(
            "llm_gateway_stream_events_malformed_total", "Events of a stream whose JSON was broken.", ROUTE
        )
        self.cut = counter(
            "llm_gateway_stream_cut_total", "Streams that the provider broke off after content had been sent.", ROUTE
        )

    def route(self, provider: str | None, model: str | None) -> RouteMeters:
        """The cells of a target. Both names from the configuration; None when there is no such thing."""
        key = (provider or NO_PROVIDER, model or OTHER)
        found = self._routes.get(key)
        return self._new_route(key) if found is None else found

    def _new_route(self, key: tuple[str, str]) -> RouteMeters:
        if len(self._routes) >= MAX_SERIES:
            key = (OTHER, OTHER)
        return self._routes.setdefault(key, RouteMeters(self, *key))

    def provider(self, name: str) -> ProviderMeters:
        """Health of one provider. Called for each configured one, so that it is seen before it is used."""
        known = self._providers.get(name)
        if known is None:
            known = self._providers[name] = ProviderMeters(self._health.cell(name), self._streaks.cell(name))
            self._ask_to_be_called()
        return known

    def _ask_to_be_called(self) -> None:
        """Once there is something to say or to forget: who only declares the families leaves nothing behind."""
        if not self._called:
            self._called = True
            self._meters.before_scrape(self._show_health)
            self._meters.when_forgetting(self.forget)

    def forget(self) -> None:
        """Drop the cells of names that the meters do not keep. Called by them when no older exchange runs."""
        keeps = self._meters.keeps
        self._routes = {names: route for names, route in self._routes.items() if keeps(ROUTE, names)}
        self._providers = {name: provider for name, provider in self._providers.items() if keeps(ROUTE[:1], (name,))}

    def overhead(self, part: str) -> HistogramCell:
        known = self._parts.get(part)
        if known is None:
            known = self._parts[part] = self._overhead.cell(part)
        return known

    def client_left(self, phase: str) -> None:
        self._disconnects.cell(phase).add()

    def watch_log(self, log: str, writer: CountsDropped) -> None:
        """Show how many lines the writer has dropped."""
        cell = self._log_drops.cell(log)
        self._meters.before_scrape(lambda: cell.follow(writer.dropped))

    def build_info(self, version: str, lane: str) -> None:
        for _, before in self._build.series():
            before.set(0)
        self._build.cell(version, lane).set(1)

    def _show_health(self) -> None:
        for provider in self._providers.values():
            provider.show()


class ProviderMeters:
    """Whether a provider fails by its own fault, as one gauge."""

    __slots__ = ("health", "streak")

    def __init__(self, health: GaugeCell, streak: GaugeCell) -> None:
        self.health = health
        self.streak = streak
        self.show()

    def answered(self) -> None:
        if self.streak.value:  # else nothing has changed, and the words are every worker's
            self.streak.set(0)
            self.show()

    def failed(self) -> None:
        self.streak.add()
        self.show()

    def show(self) -> None:
        self.health.set(self.streak.value < FAULTS_UNTIL_UNHEALTHY)


class RouteMeters:
    """The cells of one provider and model."""

    def __init__(self, all_meters: RequestMeters, provider: str, model: str) -> None:
        self._all = all_meters
        self._names = (provider, model)
        self._statuses: dict[int, CounterCell] = {}
        self._outcomes: dict[str, CounterCell] = {}
        self._provider = None if provider == NO_PROVIDER else all_meters.provider(provider)
        self.duration = all_meters.durations.cell(provider, model)
        self.first_token = all_meters.first_tokens.cell(provider, model)
        self.gap = all_meters.gaps.cell(provider, model)
        self.malformed = all_meters.malformed.cell(provider, model)
        self.cut = all_meters.cut.cell(provider, model)
        self._tokens = tuple(
            all_meters.tokens.cell(provider, model, kind) for kind in ("input", "output", "cached_input", "reasoning")
        )

    def answered(self, status: int, seconds: float) -> None:
        """A request is over: what its client got, and how long it took."""
        cell = self._statuses.get(status)
        if cell is None:
            cell = self._statuses[status] = self._all.requests.cell(*self._names, status)
        cell.add()
        self.duration.observe(seconds)

    def attempt(self, outcome: str, *, providers_fault: bool | None = None) -> None:
        """One try is over. ``providers_fault``: True and False move its health; None says nothing about it."""
        cell = self._outcomes.get(outcome)
        if cell is None:
            cell = self._outcomes[outcome] = self._all.attempts.cell(*self._names, outcome)
        cell.add()
        if self._provider is None or providers_fault is None:
            return
        if providers_fault:
            self._provider.failed()
        else:
            self._provider.answered()

    def count_tokens(
        self,
        input: int | None,
        output: int | None,
        cached_input: int | None = None,
        reasoning: int | None = None,
    ) -> None:
        """As the provider reported them; what is missing or negative is not counted."""
        self._count(0, input)
        self._count(1, output)
        if cached_input or reasoning:
            self._count(2, cached_input)
            self._count(3, reasoning)

    def _count(self, kind: int, tokens: int | None) -> None:
        if tokens and tokens > 0:
            self._tokens[kind].add(tokens)
