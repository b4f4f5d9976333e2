"""Both logs: one line of valid JSON each, whatever is put in; no secret, no query string."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import SecretStr

from gateway.telemetry.access_log import NAMES, AccessRecord, AttemptRecord
from gateway.telemetry.application_log import JsonLines, setup
from gateway.telemetry.json_line import json_line, utc_milliseconds
from gateway.telemetry.log_writer import LogWriter

CANARY = "sk-canary-0123456789"


class Kept(LogWriter):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__("off")
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    @property
    def last(self) -> dict[str, Any]:
        line = self.lines[-1]
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        parsed = json.loads(line)
        assert isinstance(parsed, dict)
        return parsed


@pytest.fixture
def kept() -> Iterator[Kept]:
    root, ours = logging.getLogger(), logging.getLogger("gateway")
    levels = root.level, ours.level
    kept = Kept()
    setup("info", kept)
    yield kept
    for handler in list(root.handlers):
        if isinstance(handler, JsonLines):
            root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


log = logging.getLogger("gateway.tests")


def test_a_record_is_one_line(kept: Kept) -> None:
    log.info("took %d ms\nfor %s", 5, "you", extra={"provider": "openai", "tries": [1, 2]})
    line = kept.last
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line == {
        "level": "info",
        "logger": "gateway.tests",
        "message": "took 5 ms\nfor you",
        "provider": "openai",
        "tries": [1, 2],
    }


def test_an_exception_is_a_field(kept: Kept) -> None:
    try:
        raise ValueError("boom\nboom")
    except ValueError:
        log.exception("failed")
    line = kept.last
    assert line["level"] == "error"
    assert line["traceback"].startswith("Traceback (most recent call last)")
    assert line["traceback"].endswith("ValueError: boom\nboom\n")


def test_an_extra_never_replaces_a_field_of_ours(kept: Kept) -> None:
    log.warning("real", extra={"ts": "forged", "level": "forged", "logger": "forged"})
    assert "forged" not in kept.lines[-1].decode()


def test_levels(kept: Kept) -> None:
    log.debug("not shown")
    logging.getLogger("aiohttp.access").info("not shown")
    assert kept.lines == []
    logging.getLogger("asyncio").error("shown")
    assert kept.last["logger"] == "asyncio"
    setup("debug", kept)
    log.debug("shown")
    assert kept.last["level"] == "debug"
    setup("error", kept)
    log.warning("not shown")
    assert kept.last["level"] == "debug"


def test_setup_twice_writes_once(kept: Kept) -> None:
    setup("info", kept)
    setup("info", kept)
    log.info("once")
    assert len(kept.lines) == 1


def test_a_wrong_log_call_becomes_a_line_and_reaches_nobody(kept: Kept, capfd: pytest.CaptureFixture[str]) -> None:
    alone = logging.Logger("gateway.alone")  # pytest's own handler would raise
    alone.addHandler(JsonLines(kept))
    alone.info("%d and %d", "one")
    assert kept.last["message"] == "a log record could not be formatted: TypeError"
    assert kept.last["template"] == "%d and %d"
    assert kept.last["place"].startswith("test_logs.py:")
    assert capfd.readouterr().err == ""


def test_long_text_is_cut(kept: Kept) -> None:
    try:
        raise ValueError("x" * 100_000 + "the end")
    except ValueError:
        log.exception("y" * 100_000)
    assert len(kept.lines[-1]) < 30_000
    assert kept.last["traceback"].endswith("the end\n")


def test_a_secret_shows_itself_as_stars(kept: Kept) -> None:
    secret = SecretStr(CANARY)
    log.info("key %s %r", secret, secret, extra={"key": secret, "auth": {"key": [secret]}})
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("with %s", {"key": secret})
    assert CANARY.encode() not in b"".join(kept.lines)
    assert kept.lines[0].count(b"**********") == 4


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    "value",
    ["\udc80", 2**70, -(2**70), Unprintable(), endless(), {1, 2}, b"\xff", {"\udc80": 1}, {2**70: "\ud800"}, object],
)
def test_every_value_gives_a_line(value: object) -> None:
    line = json_line({"a": value, "b": "still here"})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["b"] == "still here"


anything = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(some.characters(exclude_categories=())),
    lambda inner: some.lists(inner) | some.dictionaries(some.text() | some.integers(), inner),
    max_leaves=10,
)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(fields=some.dictionaries(some.text(some.characters(exclude_categories=())), anything, max_size=5))
def test_any_mapping_gives_one_line_of_json(fields: dict[str, object]) -> None:
    line = json_line(fields)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (0.9996, "1970-01-01T00:00:00.999Z"),
        (1769860800.25, "2026-01-31T12:00:00.250Z"),
    ],
)
def test_timestamps(seconds: float, text: str) -> None:
    assert utc_milliseconds(seconds) == text
    assert utc_milliseconds(seconds) == text, "from what is kept"


def record(**fields: Any) -> AccessRecord:
    needed = {"ts": 1769860800.25, "request_id": "r-1", "method": "POST", "path": "/v1/chat/completions"}
    return AccessRecord(**{**needed, **fields})


def test_an_access_line_leaves_out_what_is_unknown() -> None:
    assert record().line() == (
        b'{"ts":"2026-01-31T12:00:00.250Z","request_id":"r-1","method":"POST","path":"/v1/chat/completions"}\n'
    )


def test_a_full_access_line() -> None:
    attempts = [
        AttemptRecord(provider="a", model="m", outcome="timeout", status=None, ms=5.0),
        AttemptRecord(provider="b", model="m", outcome="ok", status=200, ms=9.5),
    ]
    full = record(
        correlation_id="c-1", client="10.0.0.1", status=200, model="smart", provider="b", upstream_model="m",
        attempts=attempts, stream=True, ttft_ms=1.23456, duration_ms=20.0004, overhead_ms=0.1, input_tokens=0,
        output_tokens=2, cached_tokens=3, bytes_in=4, bytes_out=5, error_code="x", error_type="y",
        ended_by="client", user_agent="curl",
    )  # fmt: skip
    line = json.loads(full.line())
    assert list(line) == NAMES
    assert (line["ttft_ms"], line["duration_ms"], line["overhead_ms"]) == (1.235, 20.0, 0.1)
    assert line["attempts"] == [attempt._asdict() for attempt in attempts]
    assert line["input_tokens"] == 0


def test_no_query_string_and_no_long_text_from_a_client() -> None:
    line = record(path=f"/v1/models?key={CANARY}", user_agent="u" * 5_000, model="m" * 100_000).line()
    assert CANARY.encode() not in line
    parsed = json.loads(line)
    assert parsed["path"] == "/v1/models"
    assert len(parsed["user_agent"]) == 200
    assert len(line) < 4096


def test_hostile_text_stays_in_its_line() -> None:
    line = record(user_agent='"}\n{"forged": "\udcff\x1b[31m', method="GET\r\n").line()
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert json.loads(line)["method"] == "GET\r\n"
