"""What sections must agree on, and what is unwise though it works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from pydantic import BaseModel, SecretStr

from gateway.config.explain import suggestion
from gateway.config.found import shown
from gateway.config.listening import TLS
from gateway.config.nodes import Mapping, Node, Scalar, Sequence, child
from gateway.config.problems import Path, Problems, quoted
from gateway.config.tls import Tls

_DEFAULT = re.compile(r":-[^{}]+\}")
_SECRET_HEADER = re.compile(r"authorization|key|token|secret|cookie|password", re.IGNORECASE)


def check_targets(tree: Mapping, problems: Problems) -> None:
    """Every target names a provider that exists, a model it has, and is listed once."""
    routes, section = child(tree, "models"), child(tree, "providers")
    known = section if isinstance(section, Mapping) else Mapping(tree.place, {})
    for name, entry in routes.entries.items() if isinstance(routes, Mapping) else ():
        targets = child(entry.node, "targets")
        first: dict[tuple[str, str], int] = {}
        for position, target in enumerate(targets.items if isinstance(targets, Sequence) else ()):
            path = ("models", name, "targets", position)
            pair = _check_target(target, name, path, known, problems)
            if pair in first:
                problem = f"the same provider and model as targets[{first[pair]}]"
                problems.add(target.place, path, problem, "remove one of the two")
            elif pair is not None:
                first[pair] = position


def _check_target(target: Node, route: str, path: Path, known: Mapping, problems: Problems) -> tuple[str, str] | None:
    provider, model = child(target, "provider"), child(target, "model")
    if not _is_text(provider) or not (model is None or _is_text(model)):
        return None
    name = str(provider.value)
    if name not in known.entries:
        cure = suggestion(name, list(known.entries), "known under providers")
        problems.add(provider.place, (*path, "provider"), f"unknown provider {shown(provider, path)}", cure)
        return None
    wanted = route if model is None else str(model.value)
    models = child(known.entries[name].node, "models")
    if isinstance(models, Mapping) and models.entries and wanted not in models.entries:
        at = model or provider
        problem = f"provider {shown(provider, path)} lists no model {shown(model, path) if model else quoted(wanted)}"
        cure = suggestion(wanted, list(models.entries), "it lists")
        problems.add(at.place, (*path, "model"), problem, cure)
    return name, wanted


def _is_text(node: Node | None) -> TypeGuard[Scalar]:
    return isinstance(node, Scalar) and isinstance(node.value, str) and not node.failed


def check_tls(tree: Mapping, problems: Problems) -> None:
    """Addresses speak TLS if and only if it is said with which certificate."""
    server = child(tree, "server")
    tls, listen = (child(server, key) if server is not None else None for key in ("tls", "listen"))
    listed = enumerate(listen.items) if isinstance(listen, Sequence) else [(None, listen)]
    speaking = [(at, node) for at, node in listed if _is_text(node) and str(node.value).startswith(TLS)]
    said = tls is not None and not (isinstance(tls, Scalar) and tls.value is None)
    if tls is not None and said and not speaking:
        cure = f'write for example listen: "{TLS}0.0.0.0:8443", or remove it'
        problems.add(tls.place, ("server", "tls"), f"no address of server.listen begins with {TLS}", cure)
    for at, node in [] if said else speaking:
        path: Path = ("server", "listen") if at is None else ("server", "listen", at)
        problem = f"{shown(node, path)} is to speak TLS, but nothing says with which certificate"
        problems.add(node.place, path, problem, "add server.tls: {certificate: FILE, key: FILE}")


def check_certificate(tls: Tls | None, tree: Mapping, warnings: Problems) -> None:
    """Warn of one that clients will not believe."""
    node: Node | None = tree
    for step in ("server", "tls", "certificate"):
        node = child(node, step) if node is not None else None
    if tls is not None and node is not None and (doubt := tls.doubt()):
        warnings.add(node.place, ("server", "tls", "certificate"), f"clients refuse it: {doubt}", "get a new one")


def plain_secrets(value: Any, node: Node | None, warnings: Problems, path: Path = ()) -> None:
    """Warn of every secret that is written out in the file, be it as the default of a reference."""
    if isinstance(value, SecretStr):
        if isinstance(node, Scalar) and _is_secret(path) and (not node.referred or _DEFAULT.search(node.text)):
            warnings.add(node.place, path, "a secret in plain text", 'write "${env:NAME}" or "${file:PATH}"')
        return
    for step, inner in _steps(value):
        below = child(node, step) if node is not None else None
        if below is not None:
            plain_secrets(inner, below, warnings, (*path, step))


def _is_secret(path: Path) -> bool:
    """A header's value is one only if its name says so."""
    return len(path) < 2 or path[-2] != "headers" or bool(_SECRET_HEADER.search(str(path[-1])))


def _steps(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, BaseModel):
        yield from value
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
