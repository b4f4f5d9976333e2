"""One mapping, one line of JSON: what both logs are made of.

``json_line`` always gives a line. What orjson refuses (lone surrogates from a header, integers beyond 64
bits, objects it does not know, a structure without end) comes out as text, cut, rather than as an
exception in the middle of a request. Newlines inside values are escaped by JSON, so a line is a line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import orjson

LONGEST_TEXT = 1_000  # characters of a value that had to be turned into text
DEEPEST = 8

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
_last_second: tuple[int, str] = (-1, "")


def json_line(fields: Mapping[str, object]) -> bytes:
    """The mapping as JSON with a newline at its end."""
    try:
        return orjson.dumps(fields, default=_as_text, option=_OPTIONS)
    except Exception:  # orjson wraps whatever an object's own __str__ may raise
        return orjson.dumps(_plain(fields, 0), option=_OPTIONS)


def utc_milliseconds(seconds: float) -> str:
    """RFC 3339 in UTC with three decimals: ``2026-01-31T12:00:00.250Z``."""
    global _last_second
    milliseconds = int(seconds * 1000)
    second = milliseconds // 1000
    known, text = _last_second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = (second, text)  # one assignment: threads see the old pair or the new one
    return f"{text}.{milliseconds % 1000:03d}Z"


def _plain(value: object, depth: int) -> object:
    """The same in types that JSON has, whatever it was."""
    if depth < DEEPEST and isinstance(value, Mapping):
        return {_as_text(key): _plain(item, depth + 1) for key, item in value.items()}
    if depth < DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in value]
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return _as_text(value)


def _as_text(value: object) -> str:
    try:
        text = str(value)
    except Exception:  # an object that cannot even be printed
        text = f"<{type(value).__name__}>"
    return text[:LONGEST_TEXT].encode("utf-8", "replace").decode()
