"""Values that know their place: what a YAML file becomes before it becomes a configuration.

Plain words mean what YAML 1.2 says: ``true``, ``false``, ``null`` and numbers; ``on``, ``off``, ``yes``, ``no``,
``010`` and ``12:30`` are text. So ``access_log: off`` and ``region: no`` are what they look like.

Nodes are never changed once built (an alias shares them): merging and resolving make new ones. The exception:
a value may become known to be a secret, and then is one wherever it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from gateway.config.problems import Path, Place

INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]{0,18})(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][-+]?[0-9]{1,2})?")
WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys((".inf", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}


@dataclass(slots=True)
class Scalar:
    """One value. ``text`` is what the file says, so after a reference was resolved it is still the reference."""

    place: Place
    text: str
    value: str | int | float | bool | None
    referred: bool = False  # the value came from a reference: never show it
    failed: bool = False  # it has been reported: say no more of it
    secret: bool = False  # its section declares it a secret: never show it


class Entry(NamedTuple):
    """A value under its key; the key has a place of its own."""

    key: Place
    node: Node


@dataclass(slots=True)
class Mapping:
    place: Place
    entries: dict[str, Entry]


@dataclass(slots=True)
class Sequence:
    place: Place
    items: list[Node]


Node: TypeAlias = Scalar | Mapping | Sequence


def plain(node: Node) -> Any:
    """The value without its places, as a validator wants it."""
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value


def child(node: Node, step: str | int) -> Node | None:
    """The value one step further down, if there is one."""
    if isinstance(node, Mapping) and isinstance(step, str):
        entry = node.entries.get(step)
        return entry.node if entry else None
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def scalars(node: Node, path: Path = ()) -> list[tuple[Path, Scalar]]:
    """Every single value in a tree, with its path below the tree's top."""
    if isinstance(node, Scalar):
        return [(path, node)]
    if isinstance(node, Mapping):
        inner: list[tuple[str | int, Node]] = [(key, entry.node) for key, entry in node.entries.items()]
    else:
        inner = list(enumerate(node.items))
    return [found for step, each in inner for found in scalars(each, (*path, step))]


def plain_value(text: str) -> str | int | float | bool | None:
    """What a plain (unquoted) word means in YAML 1.2's core schema, but 010 and 0x10 are text."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text
