"""Where something stands that is to be reported, and what may be shown of it.

Never shown: what came from a reference (the reference is shown), what its section declares a secret, and what stands
under a name that promises a secret, be it in the wrong place. There a reference is shown only if it stands alone and
has no default: text around it, and a default, are as plain as any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.config.nodes import Mapping, Node, Scalar, child
from gateway.config.problems import Path, Place, quoted

_SECRET_KEY = re.compile(r"(.*[_-])?(keys?|tokens?|secrets?|password|credentials?|auth|headers)", re.IGNORECASE)
_BARE = re.compile(r"(?:\$\{(?:(?!:-)[^{}])*\})+")


@dataclass(slots=True)
class Found:
    """Where an error stands: its path, its value's and its key's place, the value (of a missing key: the section)."""

    path: Path
    place: Place
    key: Place
    node: Node
    absent: str | None = None


def locate(top: Found, loc: tuple[str | int, ...], *, missing: bool) -> Found:
    """Follow pydantic's path through the tree; what it adds to the path (the kind in a union) is not in the tree."""
    found = top
    for position, step in enumerate(loc):
        node = child(found.node, step)
        if node is not None:
            key = found.node.entries[str(step)].key if isinstance(found.node, Mapping) else node.place
            found = Found((*found.path, step), node.place if isinstance(node, Scalar) else key, key, node)
        elif position == len(loc) - 1 and step != "[key]":
            path = (*found.path, step) if missing else found.path
            found = Found(path, found.key, found.key, found.node, absent=str(step))
        elif step == "[key]":
            found = Found(found.path, found.key, found.key, Scalar(found.key, str(found.path[-1]), str(found.path[-1])))
    return found


def shown(node: Node, path: Path) -> str:
    """A value as a message may show it."""
    if not isinstance(node, Scalar):
        return "a mapping" if isinstance(node, Mapping) else "a list"
    hidden = node.secret or holds_secrets(path)
    if node.referred and (not hidden or _BARE.fullmatch(node.text)):
        return quoted(node.text)
    if node.value is None:
        return "nothing"
    if hidden:
        return "a value that is not shown here"
    if isinstance(node.value, str):
        return quoted(node.value)
    return node.text if isinstance(node.value, bool) else f"the number {node.text}"


def holds_secrets(path: Path) -> bool:
    """By its name, whatever stands there: a key may have been written in the wrong place."""
    names = [step for step in path if isinstance(step, str)]
    return path[-1:] != ("type",) and any(_SECRET_KEY.fullmatch(name) for name in names)
