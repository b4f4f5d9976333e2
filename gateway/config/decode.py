"""A tree of values to a ``Config``: every section checked, every problem found in one go.

The theory: the classes behind ``type`` own their settings, and only the catalog knows them. So the sections that name
a type (providers, policies, strategies) are checked first, each against the ``Options`` of its class; then the
whole file is checked with those sections in place as finished objects, which pydantic takes as they are. A section that
failed is replaced by a stand-in, so the rest of the file is still checked. What several sections must agree on
(checks.py) is read from the tree, and so is checked even when sections failed.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from gateway.catalog import Catalog, UnknownName, policies, providers, strategies
from gateway.config.checks import check_certificate, check_targets, check_tls, plain_secrets
from gateway.config.explain import prepare, report
from gateway.config.found import Found, shown
from gateway.config.model import Config
from gateway.config.nodes import Entry, Mapping, Node, Scalar, Sequence, child, plain
from gateway.config.problems import Path, Problems
from gateway.config.provider import ProviderOptions
from gateway.config.section import PolicyOptions, Section, StrategyOptions

Kind = TypeVar("Kind", ProviderOptions, PolicyOptions, StrategyOptions)


def decode(tree: Mapping, problems: Problems, warnings: Problems) -> Config | None:
    """The configuration, or None when ``problems`` says why not."""
    data = plain(tree)
    _decode_providers(tree, data, problems)
    _decode_policies(tree, data, problems)
    _decode_strategies(tree, data, problems)
    check_targets(tree, problems)
    check_tls(tree, problems)
    top = Found((), tree.place, tree.place, tree)
    prepare(Config, top, problems)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        report(error.errors(include_url=False, include_input=False), Config, top, problems)
        return None
    if problems:
        return None
    plain_secrets(config, tree, warnings)
    check_certificate(config.server.tls, tree, warnings)
    return config


def _decode_providers(tree: Mapping, data: dict[str, Any], problems: Problems) -> None:
    section = child(tree, "providers")
    if isinstance(section, Mapping):
        for name, entry in section.entries.items():
            found = _found(("providers", name), entry)
            data["providers"][name] = _options(providers, ProviderOptions, found, problems)


def _decode_policies(tree: Mapping, data: dict[str, Any], problems: Problems) -> None:
    section = child(tree, "policies")
    if isinstance(section, Sequence):
        for position, node in enumerate(section.items):
            found = Found(("policies", position), node.place, node.place, node)
            data["policies"][position] = _options(policies, PolicyOptions, found, problems)


def _decode_strategies(tree: Mapping, data: dict[str, Any], problems: Problems) -> None:
    models, routing = child(tree, "models"), child(tree, "routing")
    owners: list[tuple[Path, str, Node | None]] = [(("routing",), "default_strategy", routing)]
    if isinstance(models, Mapping):
        owners += [(("models", name), "strategy", entry.node) for name, entry in models.entries.items()]
    for path, key, owner in owners:
        if not isinstance(owner, Mapping) or key not in owner.entries:
            continue
        entry = owner.entries[key]
        if isinstance(entry.node, Scalar) and isinstance(entry.node.value, str):
            entry = Entry(entry.key, Mapping(entry.node.place, {"type": Entry(entry.key, entry.node)}))
        elif isinstance(entry.node, Scalar) and entry.node.value is None and key == "strategy":
            continue
        section: Any = data
        for step in path:
            section = section[step]
        section[key] = _options(strategies, StrategyOptions, _found((*path, key), entry), problems)


def _found(path: Path, entry: Entry) -> Found:
    return Found(path, entry.node.place if isinstance(entry.node, Scalar) else entry.key, entry.key, entry.node)


def _options(catalog: Catalog, base: type[Kind], found: Found, problems: Problems) -> Kind:
    """The checked settings of one section, or a stand-in for them."""
    stand_in = base.model_construct(type="")
    model = _model(catalog, base, found, problems)
    if model is None or not isinstance(found.node, Mapping):
        return stand_in
    unused = model.unused if issubclass(model, ProviderOptions) else frozenset()
    for key, entry in found.node.entries.items():
        if key in unused:
            problems.add(entry.key, (*found.path, key), "has no effect on a provider of this type", "remove it")
    prepare(model, found, problems)
    try:
        return model.model_validate(plain(found.node))
    except ValidationError as error:
        report(error.errors(include_url=False, include_input=False), model, found, problems)
    except Exception as error:  # a plug-in's validator may fail in any way; its words might quote a secret
        name = type(error).__name__
        problems.add(found.place, found.path, f"its check failed with {name}", "report this to whoever wrote the type")
    return stand_in


def _model(catalog: Catalog, base: type[Kind], found: Found, problems: Problems) -> type[Kind] | None:
    """The class that checks a section, from its ``type``."""
    if not isinstance(found.node, Mapping):
        cure = f"write {{type: ...}} with one of: {', '.join(catalog.names())}"
        problems.add(found.place, found.path, f"must be a mapping, found {shown(found.node, found.path)}", cure)
        return None
    entry = found.node.entries.get("type")
    path = found.path if entry is not None and entry.key == found.key else (*found.path, "type")  # strategy: NAME
    if entry is None:
        problems.add(found.key, path, "missing", f"write one of: {', '.join(catalog.names())}; or module:Name")
        return None
    if not isinstance(entry.node, Scalar) or not isinstance(entry.node.value, str):
        problems.add(entry.node.place, path, f"must be text, found {shown(entry.node, path)}", "write a name")
        return None
    if entry.node.failed:
        return None
    return _options_class(catalog, base, entry.node, entry.node.value, path, problems)


def _options_class(
    catalog: Catalog, base: type[Kind], node: Scalar, name: str, path: Path, problems: Problems
) -> type[Kind] | None:
    try:
        extension = catalog.get(name)
    except UnknownName as error:
        problem, _, cure = str(error).partition("; ")
        if node.referred:
            problem, cure = (
                f"unknown {catalog.kind} {shown(node, path)}",
                f"known: {', '.join(catalog.names()) or 'nothing'}",
            )
        problems.add(node.place, path, problem, cure)
        return None
    options: Any = getattr(extension, "Options", base)
    if not (isinstance(options, type) and issubclass(options, base) and issubclass(options, Section)):
        problem = f"{catalog.kind} {shown(node, path)} is broken: its Options do not derive from {base.__name__}"
        problems.add(node.place, path, problem, "report this to whoever wrote it")
        return None
    return options
