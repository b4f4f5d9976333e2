"""Names to implementations: one catalog per kind of extension.

The rules:

* ``@providers.register("openai")`` adds a built-in; each drawer's ``__init__`` imports its files by
  name, so grep finds who loads what. Registering a name twice raises and names both places.
* In the YAML an extension is a registered name (``echo``) or ``module:Name`` (``acme.llm:Acme``).
  A third party's package may also publish names through entry points, in the catalog's group.
  Built-ins win over entry points: a package can add to the gateway, never silently replace part of it.
* Nothing is imported until a configuration names it, apart from the built-ins.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)


class UnknownName(LookupError):
    """No extension of that name. The text says which names there are and how to add one."""


class Catalog:
    """The extensions of one kind, by name."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._known: dict[str, type] = {}

    def register(self, name: str) -> Callable[[Kind], Kind]:
        """Class decorator. Raises ValueError when the name is taken, naming both places."""

        def add(implementation: Kind) -> Kind:
            taken = self._known.get(name)
            if taken is not None and taken is not implementation:
                raise ValueError(
                    f"{self.kind} {name!r} is registered twice: {_place(taken)} and {_place(implementation)}"
                )
            self._known[name] = implementation
            return implementation

        return add

    def names(self) -> list[str]:
        """Every name a configuration may use: built-ins and entry points."""
        return sorted({*self._known, *(point.name for point in entry_points(group=self.group))})

    def get(self, name: str) -> Any:
        """The class behind a name or ``module:Name``. Raises UnknownName."""
        if name in self._known:
            return self._known[name]
        if ":" in name:
            return self._from_module(name)
        published = {point.value: point for point in entry_points(group=self.group, name=name)}
        if len(published) > 1:
            raise UnknownName(
                f'{self.kind} "{name}" is published twice: {" and ".join(published)}; write one as module:Name'
            )
        for point in published.values():
            return self._loaded(name, point.load)
        close = difflib.get_close_matches(name, self.names(), n=1)
        known = f"known: {', '.join(self.names())}; or module:Name" if self.names() else "write module:Name"
        meant = f'did you mean "{close[0]}"?' if close else known
        raise UnknownName(f'unknown {self.kind} "{name}"; {meant}')

    def _from_module(self, name: str) -> Any:
        module, _, attribute = name.partition(":")
        return self._loaded(name, lambda: getattr(import_module(module), attribute))

    def _loaded(self, name: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except (Exception, SystemExit) as problem:  # a plug-in may fail in any way while it is imported
            raise UnknownName(
                f'{self.kind} "{name}" cannot be loaded: {type(problem).__name__}: {problem}'
            ) from problem


def _place(implementation: type) -> str:
    return f"{implementation.__module__}:{implementation.__qualname__}"


endpoints = Catalog("endpoint", "llm_gateway.endpoints")
policies = Catalog("policy", "llm_gateway.policies")
providers = Catalog("provider type", "llm_gateway.providers")
strategies = Catalog("strategy", "llm_gateway.strategies")
