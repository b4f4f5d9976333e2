"""A worker's two logs, which a reload may send elsewhere.

What a changed log has lost so far stays in its count: `dropped` only grows.
"""

from __future__ import annotations

from gateway.config import Logging
from gateway.telemetry import application_log
from gateway.telemetry.line_batch import LineBatch
from gateway.telemetry.log_writer import LogWriter


class Log:
    """One of them. Nothing is written before the first `send_to`."""

    def __init__(self) -> None:
        self.writer = LogWriter("off")
        self._lost = 0

    @property
    def dropped(self) -> int:
        return self._lost + self.writer.dropped

    def send_to(self, fresh: LogWriter) -> None:
        old, self.writer = self.writer, fresh
        old.close(0.5)
        self._lost += old.dropped


class WorkerLogs:
    """The application log and the access log."""

    def __init__(self) -> None:
        self.application, self.access = Log(), Log()
        self._batch: LineBatch | None = None

    @property
    def access_log(self) -> LineBatch | None:
        """Where requests write their lines; None: nowhere. Made inside the running loop, new after each `change`."""
        if self._batch is None and self.access.writer.enabled:
            self._batch = LineBatch(self.access.writer)
        return self._batch

    def change(self, wanted: Logging) -> None:
        """As `wanted` says. Raises OSError, and has changed nothing then."""
        pairs = ((self.application, wanted.log), (self.access, wanted.access_log))
        fresh = [(log, LogWriter(there)) for log, there in pairs if log.writer.destination != there]
        self._flush()
        self._batch = None
        for log, writer in fresh:
            log.send_to(writer)
        application_log.setup(wanted.level, self.application.writer)

    def reopen(self) -> None:
        self._flush()
        self.application.writer.reopen()
        self.access.writer.reopen()

    def close(self) -> None:
        self._flush()
        self.access.writer.close()
        self.application.writer.close()

    def _flush(self) -> None:
        if self._batch is not None:
            self._batch.flush()
