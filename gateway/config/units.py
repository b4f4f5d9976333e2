"""Durations and sizes: always with their unit, because 30 may be seconds to one reader and milliseconds to another.

``10s``, ``250ms``, ``1m30s``, ``2h`` become seconds (float); ``512B``, ``64KiB``, ``1MB`` become bytes (int).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

NUMBER = r"[0-9]{1,16}(?:\.[0-9]{1,9})?"
DURATION_PATTERN = rf"^(?=.)(?:{NUMBER}h)?(?:{NUMBER}m)?(?:{NUMBER}s)?(?:{NUMBER}ms)?$"
SIZE_PATTERN = rf"^{NUMBER}(?:B|KB|MB|GB|KiB|MiB|GiB)$"

_DURATION = re.compile(rf"(?:({NUMBER})h)?(?:({NUMBER})m)?(?:({NUMBER})s)?(?:({NUMBER})ms)?")
_SIZE = re.compile(rf"({NUMBER})(B|KB|MB|GB|KiB|MiB|GiB)")
_SECONDS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

LONGEST = 366 * 24 * 3600  # a timer beyond a year is a slip of the pen
LARGEST = 2**50


def refused(problem: str, cure: str = "") -> PydanticCustomError:
    """What a validator raises. ``{found}`` in the problem is replaced by the value, unless that is a secret."""
    text = problem.replace("{found}", "the value") + (f"; {cure}" if cure else "")
    return PydanticCustomError("refused", "{text}", {"text": text, "problem": problem, "cure": cure})


def parse_duration(value: Any) -> float:
    """Seconds. Raises a refusal that says what to write."""
    if not isinstance(value, str):
        written = f"{value}s" if _is_number(value) and value >= 0 else "10s"
        raise refused("must be a duration with its unit, found {found}", f"write {written}")
    match = _DURATION.fullmatch(value)
    if match is None or not value:
        raise refused("must be a duration, found {found}", "write for example 10s, 250ms, 1m30s or 2h")
    seconds = sum(Decimal(part or 0) * scale for part, scale in zip(match.groups(), _SECONDS.values(), strict=True))
    if seconds > LONGEST:
        raise refused("must be at most a year (8784h), found {found}")
    return float(seconds)


def parse_size(value: Any) -> int:
    """Bytes. Raises a refusal that says what to write."""
    if not isinstance(value, str):
        written = f"{value}B" if _is_number(value) and value >= 0 and value == int(value) else "20MiB"
        raise refused("must be a size with its unit, found {found}", f"write {written}")
    match = _SIZE.fullmatch(value)
    if match is None:
        raise refused("must be a size, found {found}", "write for example 512B, 64KiB, 20MiB or 1GB")
    size = Decimal(match[1]) * _BYTES[match[2]]
    if size > LARGEST or size != int(size):
        raise refused("must be whole bytes, at most 1048576GiB, found {found}")
    return int(size)


def write_duration(seconds: float) -> str:
    """In the largest unit that divides it, so ``parse_duration`` reads the same number back."""
    exact = Decimal(repr(seconds)).quantize(Decimal("0.000000001"))
    for unit, scale in _SECONDS.items():
        if exact and exact % scale == 0:
            return f"{int(exact / scale)}{unit}"
    return f"{exact / _SECONDS['ms']:.6f}".rstrip("0").rstrip(".") + "ms" if exact else "0s"


def write_size(size: int) -> str:
    """The largest unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(write_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN}),
]
