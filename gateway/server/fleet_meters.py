"""What the supervisor counts. It writes in a column of its own; every worker shows it."""

from __future__ import annotations

from gateway._fast import GaugeCell
from gateway.telemetry.meters import Meters
from gateway.telemetry.process_meters import ProcessMeters
from gateway.telemetry.request_meters import log_drops

REASONS = ("exited", "killed", "silent", "failed")
RESULTS = ("success", "failure")


def generation_shown(meters: Meters) -> GaugeCell:
    """Each process's own."""
    help = "Number of the configuration by which new requests are answered; the supervisor's: the newest."
    return meters.gauge("llm_gateway_config_generation", help, across="each").cell()


class FleetMeters:
    """The families of the supervisor."""

    def __init__(self, meters: Meters) -> None:
        self.workers = meters.gauge("llm_gateway_workers", "Workers that are ready.", across="one").cell()
        self.generation = generation_shown(meters)
        self.process = ProcessMeters(meters)
        self.lines_dropped = log_drops(meters).cell("application")
        restarts = meters.counter(
            "llm_gateway_worker_restarts_total",
            "Workers that died or had to be replaced, by reason.",
            ("reason",),
        )
        reloads = meters.counter(
            "llm_gateway_config_reload_total", "Reloads of the configuration, by result.", ("result",)
        )
        self.restarts = {reason: restarts.cell(reason) for reason in REASONS}
        self.reloads = {result: reloads.cell(result) for result in RESULTS}
