"""The application log: the standard library's ``logging``, one line of JSON per record.

Anyone writes with ``logging.getLogger("gateway.…")``; ``extra={"provider": name}`` becomes a field. The line is
made in the caller's thread, so that what it shows is what was true then; writing it is the LogWriter's work.

``{"ts", "level", "logger", "message", …extra, "traceback"}``: a field of ours is never replaced by an extra. Text
is cut at a length that keeps a line readable. A record that cannot be formatted comes out as a
line that says so: the mistake of a log call never reaches its caller, nor stderr, where it could block.

Our own loggers obey the configured level; other packages' speak from ``warning`` up. pydantic's SecretStr
shows itself as stars, here too.
"""

from __future__ import annotations

import logging
import traceback
from typing import Protocol

from gateway.telemetry.json_line import json_line, utc_milliseconds

LOGGER = "gateway"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
LONGEST_MESSAGE = 8 * 1024
LONGEST_TRACEBACK = 16 * 1024

_NOT_EXTRA = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


class Lines(Protocol):
    """Where lines go: a LogWriter, or a DirectWriter."""

    def write(self, line: bytes) -> None: ...


def setup(level: str, writer: Lines) -> None:
    """Send every log record to the writer. Called again, it replaces what it did before."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, JsonLines):
            root.removeHandler(handler)
    root.addHandler(JsonLines(writer))
    root.setLevel(max(logging.WARNING, LEVELS[level]))
    logging.getLogger(LOGGER).setLevel(LEVELS[level])


class JsonLines(logging.Handler):
    """Hands each record to the writer as one line."""

    def __init__(self, writer: Lines) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = log_line(record)
        except Exception as problem:
            line = json_line(_unreadable(record, problem))
        self._writer.write(line)


def log_line(record: logging.LogRecord) -> bytes:
    """The record as one line of JSON."""
    fields: dict[str, object] = {
        "ts": utc_milliseconds(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage()[:LONGEST_MESSAGE],
    }
    for name, value in record.__dict__.items():
        if name not in _NOT_EXTRA:
            fields.setdefault(name, value)
    if trace := _traceback(record):
        fields["traceback"] = trace
    return json_line(fields)


def _traceback(record: logging.LogRecord) -> str | None:
    """The end of it: the exception itself stands last."""
    if record.exc_info and record.exc_info[0] is not None:
        return "".join(traceback.format_exception(*record.exc_info))[-LONGEST_TRACEBACK:]
    return record.exc_text or record.stack_info


def _unreadable(record: logging.LogRecord, problem: Exception) -> dict[str, object]:
    return {
        "ts": utc_milliseconds(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": f"a log record could not be formatted: {type(problem).__name__}",
        "template": str(record.msg)[:LONGEST_MESSAGE],
        "place": f"{record.filename}:{record.lineno}",
    }
