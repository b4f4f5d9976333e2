"""From paths to the configuration: read, parse, merge, resolve, decode.

References are resolved after merging: one that a later file replaced is never followed.
A file that cannot be read or parsed ends the matter, since without it the others would seem wrong where they are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path as File

from gateway.config import nodes
from gateway.config.decode import decode
from gateway.config.document import parse
from gateway.config.merge import overlay
from gateway.config.model import Config
from gateway.config.problems import ConfigError, Path, Place, Places, Problems
from gateway.config.references import Resolver

MAX_FILE = 16 * 1024 * 1024


def load(paths: Sequence[File | str], *, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration that the files make together, a later one over an earlier one. Raises ConfigError."""
    files = [str(path) for path in paths]
    problems, warnings = Problems(), Problems()
    if not files:
        problems.add(Place("configuration", 1, 1), (), "no file was named", "name at least one")
    trees = [_parsed(file, problems) for file in files]
    whole = [tree for tree in trees if tree is not None]
    config = None
    if files and len(whole) == len(files):
        resolved = Resolver(environ, problems).resolve(reduce(overlay, whole))
        assert isinstance(resolved, nodes.Mapping)  # as it went in
        config = decode(resolved, problems, warnings)
        if config is not None:
            config._places = Places(_places(resolved))
    if config is None:
        raise ConfigError(problems.sorted(files))
    config._warnings = warnings.sorted(files)
    return config


def _places(tree: nodes.Mapping) -> Iterator[tuple[Path, Place]]:
    """Where sections and their entries stand: for what is found wrong when extensions are built."""
    for section, entry in tree.entries.items():
        yield (section,), entry.key
        for step, key, node in _entries(entry.node):
            yield (section, step), node.place if isinstance(node, nodes.Scalar) else key


def _entries(node: nodes.Node) -> Iterator[tuple[str | int, Place, nodes.Node]]:
    if isinstance(node, nodes.Mapping):
        yield from ((name, entry.key, entry.node) for name, entry in node.entries.items())
    elif isinstance(node, nodes.Sequence):
        yield from ((position, item.place, item) for position, item in enumerate(node.items))


def _parsed(file: str, problems: Problems) -> nodes.Mapping | None:
    text = _text(file, problems)
    return None if text is None else parse(text, file, problems)


def _text(file: str, problems: Problems) -> str | None:
    start = Place(file, 1, 1)
    try:
        with File(file).open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        problems.add(start, (), "there is no such file", "see the path given with --config")
        return None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        problems.add(start, (), f"the file cannot be read: {reason}", "see its path and permissions")
        return None
    if len(content) > MAX_FILE:
        problems.add(start, (), "the file is larger than 16MiB", "is it a configuration?")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.add(place, (), f"the byte 0x{content[error.start]:02X} is not UTF-8", "save the file as UTF-8")
        return None
