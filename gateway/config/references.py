"""``${source:argument}`` in a text is replaced by what it names. Anywhere in a text, several per text, not nested.

``${env:NAME}``            an environment variable; ``${env:NAME:-default}`` when it may be unset or empty
``${file:PATH}``           a file's content without its last line break; relative to the YAML file's folder
``$${``                    a plain ``${``
``${name:argument}``       further sources: entry points of the group ``llm_gateway.secret_sources``,
                           each a function from the argument to the text

What a reference brought in is never shown in a problem: the node keeps the reference as its text.

Where PEM text belongs (``server.tls``), a path may be written as it is and means what is in that file, as elsewhere
``${file:PATH}`` does; a reference to the PEM text itself is taken as well.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path as FilePath

from gateway.config import nodes
from gateway.config.nodes import Node, Scalar
from gateway.config.problems import Path, Problems, quoted

CONTENT = {("server", "tls", key) for key in ("certificate", "key", "client_ca")}
PEM = "-----BEGIN "
UNNAMED = "of this name"
GROUP = "llm_gateway.secret_sources"
MAX_FILE = 1024 * 1024

_REFERENCE = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<body>[^{}]*)\}|(?P<stray>\$\{)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _RefusedError(Exception):
    """A reference that cannot be followed: the problem and its cure."""

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure


class Resolver:
    """Follows the references of one configuration."""

    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self.environ = environ
        self.problems = problems

    def resolve(self, node: Node, path: Path = ()) -> Node:
        """The same tree with every reference replaced; one that cannot be followed is a problem and stays."""
        if isinstance(node, nodes.Mapping):
            entries = {
                key: nodes.Entry(entry.key, self.resolve(entry.node, (*path, key)))
                for key, entry in node.entries.items()
            }
            return nodes.Mapping(node.place, entries)
        if isinstance(node, nodes.Sequence):
            items = [self.resolve(item, (*path, position)) for position, item in enumerate(node.items)]
            return nodes.Sequence(node.place, items)
        if isinstance(node.value, str) and "${" in node.value:
            node = self._scalar(node, node.value, path)
        return self._content(node, path) if path in CONTENT else node

    def _content(self, node: Scalar, path: Path) -> Scalar:
        """What is in the file that is named here. What stands for a key may be one, written in the wrong way."""
        if not isinstance(node.value, str) or not node.value or PEM in node.value or node.failed:
            return node
        shown = quoted(node.text) if node.referred else UNNAMED if path[-1] == "key" else None
        try:
            value = _read(FilePath(node.place.file).parent / node.value, shown).decode(errors="replace")
        except _RefusedError as refused:
            self.problems.add(node.place, path, refused.problem, refused.cure)
            return Scalar(node.place, node.text, node.value, referred=True, failed=True)
        return Scalar(node.place, node.text, value, referred=True)

    def _scalar(self, node: Scalar, text: str, path: Path) -> Scalar:
        folder = FilePath(node.place.file).parent
        parts, end, referred, failed = [], 0, False, False
        for match in _REFERENCE.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match["escaped"]:
                parts.append("${")
                continue
            referred = True
            try:
                parts.append(self._follow(match["body"], folder))
            except _RefusedError as refused:
                failed = True
                self.problems.add(node.place, path, refused.problem, refused.cure)
        value = "".join([*parts, text[end:]])
        return Scalar(node.place, node.text, value, referred, failed)

    def _follow(self, body: str | None, folder: FilePath) -> str:
        if body is None:
            raise _RefusedError('"${" without its "}"', "close it on the same line, do not nest; $${ is a plain ${")
        source, colon, argument = body.partition(":")
        if not colon or not source:
            raise _RefusedError(f"the reference {quoted('${' + body + '}')} names no source", "write ${env:NAME}")
        if source == "env":
            return self._env(argument)
        if source == "file":
            return _file(argument, folder)
        return _further(source, argument)

    def _env(self, argument: str) -> str:
        name, alternative, default = argument.partition(":-")
        if not _NAME.fullmatch(name):
            raise _RefusedError(f"{quoted(name)} is not a variable's name", "write ${env:NAME} or ${env:NAME:-default}")
        value = self.environ.get(name)
        if alternative:
            return value or default
        if value is None:
            close = difflib.get_close_matches(name, list(self.environ), n=1, cutoff=0.8)
            meant = f"did you mean {close[0]}?" if close else f"set it, or write ${{env:{name}:-default}}"
            raise _RefusedError(f"the environment variable {name} is not set", meant)
        return value


def _file(argument: str, folder: FilePath) -> str:
    if not argument:
        raise _RefusedError("the reference ${file:} names no file", "write ${file:PATH}")
    content = _read(folder / argument)
    try:
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        shown = quoted(str(folder / argument))
        raise _RefusedError(f"the file {shown} is not UTF-8 text", "a value must be text") from None


def _read(path: FilePath, shown: str | None = None) -> bytes:
    """A whole file. `shown`: what to call it in a problem, if not by its name."""
    shown = shown or quoted(str(path))
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise _RefusedError(f"the file {shown} is not a regular file", "name a file that holds the value")
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise _RefusedError(f"there is no file {shown}", "a relative path begins at this YAML file's folder") from None
    except (OSError, ValueError) as error:
        raise _RefusedError(f"the file {shown} cannot be read: {_reason(error)}", "see its permissions") from None
    if len(content) > MAX_FILE:
        raise _RefusedError(f"the file {shown} is larger than 1MiB", "name the file that holds the value alone")
    return content


def _further(source: str, argument: str) -> str:
    for point in entry_points(group=GROUP, name=source):
        try:
            follow: Callable[[str], str] = point.load()
            value = follow(argument)
        except Exception as error:  # a plug-in may fail in any way; its words might quote the secret
            raise _RefusedError(f'the source "{source}" failed with {type(error).__name__}', "see its manual") from None
        if not isinstance(value, str):
            raise _RefusedError(f'the source "{source}" gave no text but a {type(value).__name__}', "see its manual")
        return value
    known = ", ".join(["env", "file", *sorted(point.name for point in entry_points(group=GROUP))])
    raise _RefusedError(f"unknown source {quoted(source)} of a reference", f"known here: {known}")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
