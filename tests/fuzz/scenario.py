"""A scenario: what happens to one connection, event by event. As text a line each, so that a finding can be read and
edited.

    data b'GET / HTTP/1.1\\r\\n'    bytes come
    turn                            everybody does what there is to do
    take 100

An event is its name and its values: bytes, whole numbers, words. Scenarios in one file are parted by empty lines; a
line that begins with # says what the next one is about.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

Value = bytes | int | str
Event = tuple[Value, ...]  # the first is its name
Scenario = tuple[Event, ...]


def render(scenario: Scenario) -> str:
    return "".join(" ".join(map(_shown, event)) + "\n" for event in scenario)


def parse(text: str) -> Scenario:
    return tuple(_event(line) for line in text.splitlines() if line and not line.startswith("#"))


def read(file: Path) -> Iterator[tuple[str, Scenario]]:
    """Every scenario of a file with what is said about it."""
    for text in file.read_text().split("\n\n"):
        scenario = parse(text)
        if scenario:
            yield " ".join(line[1:].strip() for line in text.splitlines() if line.startswith("#")), scenario


def write(file: Path, scenarios: Iterable[tuple[str, Scenario]]) -> None:
    parts = ((f"# {title}\n" if title else "") + render(scenario) for title, scenario in scenarios)
    file.write_text("\n".join(parts))


def joined(scenario: Scenario) -> Scenario:
    """The same with bytes that come one after the other in one piece."""
    made: list[Event] = []
    for event in scenario:
        if made and event[0] == made[-1][0] == "data":
            made[-1] = ("data", bytes_of(made[-1]) + bytes_of(event))
        else:
            made.append(event)
    return tuple(made)


def bytes_of(event: Event) -> bytes:
    value = event[1]
    assert isinstance(value, bytes)
    return value


def number_of(event: Event, at: int = 1) -> int:
    value = event[at]
    assert isinstance(value, int)
    return value


def size(scenario: Scenario) -> int:
    """How much there is to read and to play."""
    return sum(len(value) if isinstance(value, bytes) else 4 for event in scenario for value in event[1:]) + 8 * len(
        scenario
    )


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else repr(value)


def _event(line: str) -> Event:
    name, _, rest = line.partition(" ")
    return (name, *_values(rest))


def _values(text: str) -> Iterator[Value]:
    text = text.strip()
    if text.startswith(("b'", 'b"')):  # bytes are always the last
        yield ast.literal_eval(text)
    elif text:
        word, _, rest = text.partition(" ")
        yield int(word) if word.lstrip("-").isdigit() else word
        yield from _values(rest)
