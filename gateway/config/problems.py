"""What is wrong with a configuration, where, and what to do about it.

One problem is one line, ``file:line:column: path: problem; cure``, which editors and terminals know how
to open. Problems are collected, never raised one by one: whoever mends a file wants to see them all.

No text in here may hold a secret: a value that came from a reference is shown as the reference
(``${env:OPENAI_API_KEY}``), and what stands where a secret belongs is not shown at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Where a value stands in the configuration: keys, and positions in lists."""

SHOWN = 60  # of a value in a message: enough to recognise it


class Place(NamedTuple):
    """A position in a file, counted from 1 as editors do."""

    file: str
    line: int
    column: int


class Places(dict[Path, Place]):
    """Where things stand in their files: never what makes two configurations different."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    __hash__ = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or, as a warning, unwise). A configuration made by hand has no places: no ``file``."""

    file: str
    line: int
    column: int
    path: str
    problem: str
    cure: str = ""

    def __str__(self) -> str:
        """The line that is shown to the user."""
        place = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{place}{path}{self.problem}{cure}"


class Problems:
    """A growing list of problems."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}  # in order, and each once

    def add(self, place: Place, path: Path, problem: str, cure: str = "") -> None:
        """Note one problem; the same one at the same place only once (an alias is read twice)."""
        self._found[Problem(*place, written(path), _printable(problem), _printable(cure))] = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self, files: Sequence[str]) -> tuple[Problem, ...]:
        """In the order of the files given, then from top to bottom."""
        order = {name: position for position, name in enumerate(files)}
        return tuple(sorted(self._found, key=lambda found: (order.get(found.file, -1), found.line, found.column)))


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` says everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def render_problems(error: ConfigError) -> str:
    """Every problem on a line of its own, and how many there are."""
    count = len(error.problems)
    return f"{error}\n{count} problem{'' if count == 1 else 's'}\n"


def written(path: Path) -> str:
    """``("models", "gpt-4.1", "targets", 0)`` as ``models."gpt-4.1".targets[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(r"[\w-]+", step, re.ASCII) else quoted(step))
    return text


def _printable(text: str) -> str:
    """On one line and without terminal codes, whoever wrote it."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


def quoted(text: str) -> str:
    """A value as a message shows it: in quotes, on one line, no terminal codes, not too long."""
    return json.dumps(text if len(text) <= SHOWN else text[:SHOWN] + "...", ensure_ascii=not text.isprintable())
