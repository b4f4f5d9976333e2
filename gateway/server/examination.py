"""What the checker does in its process: load, wire, and prove that the workers can be sent what came out.

`llm-gateway check` does the same, so that it finds whatever a start or a reload would. All of it happens here as it
will in a worker: the configuration crosses to the workers as a pickle, so it is pickled here and taken apart again,
and an extension whose settings do not survive that is named.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway import wiring
from gateway._fast import LimitTable
from gateway.config import Config, ConfigError, Section
from gateway.server.fleet_meters import FleetMeters
from gateway.server.processors import usable
from gateway.server.settings import settings_of
from gateway.server.verdict import Approved, Refused
from gateway.telemetry.limit_meters import LimitMeters
from gateway.telemetry.memory_meters import MemoryMeters
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters

NOT_FILES = ("stderr", "off")


def examine(files: Sequence[Path], workers: int | None) -> Approved | Refused:
    """Everything about a configuration that can be known before it serves."""
    try:
        config = wiring.load(files)
        plans = wiring.wire(config, meters=own_meters()).plans
    except ConfigError as wrong:
        return Refused(tuple(map(str, wrong.problems)))
    problems = [*_logs(config), *_unsendable(config)]
    if problems:
        return Refused(tuple(problems))
    return Approved(
        settings=settings_of(config, workers=workers, usable=usable()),
        config=pickle.dumps(config),
        warnings=tuple(map(str, config.warnings)),
        models=(*config.models, *(model for model in plans if model not in config.models)),  # routes first
    )


def own_meters() -> Meters:
    """With every family of ours: an extension that wants the name of one is refused here, not missed by a worker."""
    meters = Meters()
    RequestMeters(meters)
    FleetMeters(meters)
    MemoryMeters(meters)
    LimitMeters(meters, LimitTable(meters.arena))
    return meters


def _logs(config: Config) -> Iterator[str]:
    """A log that cannot be written is found out before anybody writes; nothing is created here."""
    for key in ("log", "access_log"):
        destination = getattr(config.logging, key)
        if destination not in NOT_FILES and (reason := _unwritable(Path(destination))):
            cure = "see the path and who owns it"
            yield str(config.problem(("logging", key), f"cannot write {destination}: {reason}", cure))


def _unwritable(file: Path) -> str | None:
    try:
        if file.is_dir():
            return "it is a folder"
        if not file.exists() and not file.parent.is_dir():
            return "its folder does not exist"
    except OSError as problem:
        return problem.strerror
    allowed = os.access(file, os.W_OK) if file.exists() else os.access(file.parent, os.W_OK | os.X_OK)
    return None if allowed else "permission denied"


def _unsendable(config: Config) -> Iterator[str]:
    """Sections that do not come back out of a pickle."""
    found = False
    for path, options in _sections(config):
        if problem := _unpicklable(options):
            found = True
            text = f"its settings cannot be sent to the workers: {problem}"
            yield str(config.problem(path, text, "Options must be a class that `import` finds, of values that pickle"))
    if not found and (problem := _unpicklable(config)):
        yield str(config.problem((), f"the configuration cannot be sent to the workers: {problem}"))


def _sections(config: Config) -> Iterator[tuple[tuple[str | int, ...], Section]]:
    yield from ((("providers", name), options) for name, options in config.providers.items())
    yield from ((("policies", position), options) for position, options in enumerate(config.policies))
    yield ("routing", "default_strategy"), config.routing.default_strategy
    for name, route in config.models.items():
        if route.strategy is not None:
            yield ("models", name, "strategy"), route.strategy


def _unpicklable(section: Section) -> str | None:
    """Its own words are withheld: they might quote a setting."""
    try:
        pickle.loads(pickle.dumps(section))
    except (Exception, SystemExit) as problem:
        return type(problem).__name__
    return None
