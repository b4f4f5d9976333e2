"""YAML text to a tree of values that know their place. Nothing here knows what a key means.

The rules:

* The tree is built from libyaml's events, not with a YAML loader: so every value and every *key* keeps its
  place, a duplicate key is seen, and neither depth (no recursion) nor aliases (nodes are counted as if
  written out) can be used to exhaust us.
* Refused: duplicate keys, keys that are not text, tags (but ``!!str``), several documents. ``<<`` merges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from gateway.config.nodes import Entry, Mapping, Node, Scalar, Sequence, plain_value
from gateway.config.problems import Path, Place, Problems, quoted
from gateway.config.syntax import explained, odd_break

MAX_DEPTH = 50
MAX_NODES = 100_000

STR, MAP, SEQ = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))


def parse(text: str, file: str, problems: Problems) -> Mapping | None:
    """The file's top mapping, or None when there is none to go on with; what is wrong is added to ``problems``."""
    tree = _Tree(file, problems)
    odd = odd_break(text, file)
    if odd is not None:
        tree.refuse(*odd)
        return None
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            tree.feed(event)
    except yaml.YAMLError as error:
        tree.refuse(*explained(error, text, file))
        return None
    except _StopError:
        return None
    return tree.top()


class _StopError(Exception):
    """The rest of the file would only bring problems that are not there."""


class _Merge(str):
    """The key ``<<``, written plainly. In quotes it is a name like any other."""

    __slots__ = ()


@dataclass(slots=True)
class _Open:
    """A mapping or list that has not ended yet."""

    node: Mapping | Sequence
    anchor: str | None
    count: int
    key: Scalar | None = None
    merged: list[Node] = field(default_factory=list)


class _Tree:
    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.count = 0
        self.documents = 0
        self.root: Node | None = None

    def refuse(self, place: Place, problem: str, cure: str = "") -> None:
        self.problems.add(place, self._path(), problem, cure)

    def feed(self, event: yaml.Event) -> None:
        mark = event.start_mark
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self._give_up(place, "a second YAML document begins here", "keep one document per file")
            case yaml.AliasEvent():
                self._alias(event.anchor or "", place)
            case yaml.ScalarEvent():
                self._scalar(event, place)
            case yaml.MappingStartEvent():
                self._begin(Mapping(place, {}), event, MAP)
            case yaml.SequenceStartEvent():
                self._begin(Sequence(place, []), event, SEQ)
            case yaml.CollectionEndEvent():
                self._end()

    def top(self) -> Mapping | None:
        place = Place(self.file, 1, 1)
        if self.root is None or (isinstance(self.root, Scalar) and self.root.value is None):
            self.refuse(place, "the file is empty", 'begin with a section such as "providers:"')
        elif not isinstance(self.root, Mapping):
            self.refuse(self.root.place, "the file must be a mapping", 'begin with a section such as "providers:"')
        else:
            return self.root
        return None

    def _give_up(self, place: Place, problem: str, cure: str = "") -> None:
        self.refuse(place, problem, cure)
        raise _StopError

    def _path(self) -> Path:
        path: list[str | int] = []
        for frame in self.open:
            if isinstance(frame.node, Sequence):
                path.append(len(frame.node.items))
            elif frame.key is not None:
                path.append(frame.key.text)
        return tuple(path[:10])

    def _refuse_tag(self, place: Place, tag: str) -> None:
        shown = quoted(tag.replace("tag:yaml.org,2002:", "!!"))
        self.refuse(place, f"the tag {shown} is not supported", "remove it")

    def _counted(self, nodes: int, place: Place) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            self._give_up(place, f"more than {MAX_NODES} values, aliases written out", "use fewer aliases")

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        self._counted(1, place)
        plain = event.style == "" and event.tag is None
        node = Scalar(place, event.value, plain_value(event.value) if plain else event.value)
        if event.tag not in (None, "!", STR):
            self._refuse_tag(place, event.tag)
            node.failed = True
        if plain and event.value == "<<" and self._expects_key():
            node.value = _Merge("<<")
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, 1)
        self._add(node)

    def _alias(self, anchor: str, place: Place) -> None:
        known = self.anchors.get(anchor)
        if known is None:
            if any(frame.anchor == anchor for frame in self.open):
                self._give_up(place, f'the alias "*{anchor}" stands inside what it stands for', "write it out")
            self._give_up(place, f'no anchor "&{anchor}" before this alias', f'write "&{anchor}" where it is defined')
            return
        node, count = known
        self._counted(count, place)
        self._add(node, place)

    def _begin(self, node: Mapping | Sequence, event: yaml.CollectionStartEvent, tag: str) -> None:
        self._counted(1, node.place)
        if len(self.open) >= MAX_DEPTH:
            self._give_up(node.place, f"nested more than {MAX_DEPTH} deep", "a configuration is never that deep")
        if event.tag not in (None, "!", tag):
            self._refuse_tag(node.place, event.tag)
        if self._expects_key():
            self._give_up(node.place, "a mapping or a list cannot be a key", _quote_braces(node))
        self.anchors.pop(event.anchor or "", None)
        self.open.append(_Open(node, event.anchor, self.count - 1))

    def _end(self) -> None:
        frame = self.open.pop()
        if isinstance(frame.node, Mapping):
            for node in frame.merged:
                for key, entry in node.entries.items() if isinstance(node, Mapping) else ():
                    frame.node.entries.setdefault(key, entry)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.node, self.count - frame.count)
        self._add(frame.node)

    def _expects_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].node, Mapping) and self.open[-1].key is None

    def _add(self, node: Node, place: Place | None = None) -> None:
        if not self.open:
            self.root = node
            return
        frame = self.open[-1]
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
        elif frame.key is None:
            self._key(frame, node, place or node.place)
        else:
            self._value(frame, frame.node, frame.key, node)
            frame.key = None

    def _key(self, frame: _Open, node: Node, place: Place) -> None:
        if not isinstance(node, Scalar):
            self._give_up(place, "a mapping or a list cannot be a key", "write a name")
            return
        if not isinstance(node.value, str):
            self.refuse(place, f"the key {node.text or 'null'} is not text", f'write "{node.text}" in quotes')
        elif "${" in node.value:
            self.refuse(place, "a reference cannot be a key", "write the name itself")
        frame.key = Scalar(place, node.text, node.value)

    def _value(self, frame: _Open, mapping: Mapping, key: Scalar, node: Node) -> None:
        if isinstance(key.value, _Merge):
            frame.merged += node.items if isinstance(node, Sequence) else [node]
            if not all(isinstance(each, Mapping) for each in frame.merged):
                self._give_up(key.place, '"<<" merges mappings only', "write an alias of a mapping")
        elif key.text in mapping.entries:
            first = mapping.entries[key.text].key.line
            self.refuse(key.place, f"the key is written twice, first in line {first}", "remove one of the two")
        else:
            mapping.entries[key.text] = Entry(key.place, node)


def _quote_braces(node: Mapping | Sequence) -> str:
    return 'put text with { } in quotes: "${env:NAME}"' if isinstance(node, Mapping) else "write a name"
