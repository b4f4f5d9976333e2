"""What the supervisor needs of a configuration, and no more: plain values, and which of them a reload can change.

The supervisor never sees the configuration itself: its classes may be anybody's code (`checker`). Settings are
made where that code may run, in the checker, and cross the pipe as JSON.

Every key takes effect on a reload but those that `unchanged` names: it is told of a difference and says so, so
that nothing an operator wrote is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from gateway.config import TLS, Address, Config

__all__ = ["FIXED", "TLS", "Address", "Settings", "settings_of", "unchanged"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds, names and numbers; every one is checked."""

    addresses: tuple[Address, ...]
    workers: int
    workers_written: str  # in the configuration: a number, or auto
    workers_forced: bool  # by the command line, which no reload changes
    worker_timeout: float
    drain_delay: float
    drain_timeout: float
    lane: str
    log_level: str
    log: str  # stderr, or a file

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Settings:
        return cls(**{**fields, "addresses": tuple(Address(*each) for each in fields["addresses"])})


def settings_of(config: Config, *, workers: int | None, usable: int) -> Settings:
    """`workers` is what the command line says, if it does; `usable` is what `auto` means here."""
    server, logging = config.server, config.logging
    configured = usable if server.workers == "auto" else server.workers
    return Settings(
        addresses=server.addresses,
        workers=configured if workers is None else workers,
        workers_written=str(server.workers),
        workers_forced=workers is not None,
        worker_timeout=server.worker_timeout,
        drain_delay=server.drain_delay,
        drain_timeout=server.drain_timeout,
        lane=server.lane,
        log_level=logging.level,
        log=logging.log,
    )


FIXED = {"lane": "server.lane"}  # what a process takes at its start and never again


def unchanged(running: Settings, new: Settings) -> Iterator[str]:
    """What of `new` a reload does not bring about, in words for the log, each with its key."""
    for field, key in FIXED.items():
        if getattr(running, field) != getattr(new, field):
            yield f"{key}: stays {getattr(running, field)} until a restart"
    if new.workers_forced and new.workers_written != running.workers_written:
        yield f"server.workers: {new.workers_written} is not used; the command line says --workers {new.workers}"
