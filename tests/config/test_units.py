"""Durations and sizes: what is written is what is meant, and back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic_core import PydanticCustomError

from gateway.config.units import (
    DURATION_PATTERN,
    LONGEST,
    SIZE_PATTERN,
    parse_duration,
    parse_size,
    write_duration,
    write_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("250ms", 0.25),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1h2m3s4ms", 3723.004),
        ("0s", 0.0),
        ("1.5s", 1.5),
        ("90m", 5400.0),
        ("8784h", LONGEST),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        "10 s",
        "-1s",
        "+1s",
        "1S",
        "1m1h",
        "1s1s",
        "1e3s",
        ".5s",
        "5.s",
        "10s\n",
        "\u0661s",
        "1d",
        "9999999h",
        "1_0s",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(PydanticCustomError, match=r"duration|year"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512B", 512),
        ("64KiB", 65536),
        ("20MiB", 20 << 20),
        ("1MB", 10**6),
        ("1GiB", 1 << 30),
        ("1.5KiB", 1536),
        ("0.07KB", 70),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert re.search(SIZE_PATTERN, text)


@pytest.mark.parametrize(
    "text", ["", "10", "B", "1 MB", "-1B", "1mb", "1Mib", "1TB", "1.5B", "0.3KiB", "1e3B", "1MB\n", "9999999GiB"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(PydanticCustomError, match=r"size|bytes"):
        parse_size(text)


@pytest.mark.parametrize(
    ("value", "cure"),
    [(10, "write 10s"), (0.5, "write 0.5s"), (-3, "write 10s"), (True, "write 10s"), (None, "write 10s")],
)
def test_a_number_without_a_unit_is_answered_with_the_unit(value: Any, cure: str) -> None:
    with pytest.raises(PydanticCustomError, match=cure):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "cure"), [(10, "write 10B"), (0.5, "write 20MiB"), (float("nan"), "write 20MiB"), ([], "write 20MiB")]
)
def test_the_same_for_a_size(value: Any, cure: str) -> None:
    with pytest.raises(PydanticCustomError, match=cure):
        parse_size(value)


@given(some.integers(0, int(LONGEST * 1000)))
def test_every_duration_is_read_back_as_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(write_duration(seconds)) == seconds


@given(some.integers(0, 2**50))
def test_every_size_is_read_back_as_written(size: int) -> None:
    assert parse_size(write_size(size)) == size


@given(some.integers(0, 99), some.integers(0, 99), some.integers(0, 99), some.integers(0, 999))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    assert parse_duration(text) == pytest.approx(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)


@given(some.text(max_size=12))
def test_any_text_is_a_duration_or_refused_with_a_cure(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except PydanticCustomError as refusal:
        said = refusal.context or {}
    else:
        said = {"problem": 0 <= seconds <= LONGEST}
    assert said["problem"]
