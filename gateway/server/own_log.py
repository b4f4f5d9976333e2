"""The supervisor's application log: without a thread, because it forks. A reload may send it elsewhere."""

from __future__ import annotations

from gateway.server.settings import Settings
from gateway.telemetry import application_log
from gateway.telemetry.direct_writer import DirectWriter


class OwnLog:
    """Says nothing before the first `send_to`."""

    def __init__(self) -> None:
        self._writer = DirectWriter("off")
        self._lost = 0  # by writers before

    @property
    def dropped(self) -> int:
        """Lines that could not be written, wherever they were to go."""
        return self._lost + self._writer.dropped

    def send_to(self, settings: Settings) -> None:
        """As these say. Raises OSError, and has changed nothing then."""
        if settings.log != self._writer.destination:
            fresh = DirectWriter(settings.log)
            self._writer.close()
            self._lost += self._writer.dropped
            self._writer = fresh
        application_log.setup(settings.log_level, self._writer)

    def reopen(self) -> None:
        self._writer.reopen()

    def close(self) -> None:
        self._writer.close()
