"""Extensions made from their settings, and what an extension must be to be let in.

What a configuration names may be anybody's code: one that cannot be built, or lacks what its kind must
have, is refused here by its place in the configuration. So is a hook that is not a plain function: an
`async def` would never be waited for, and a policy written so would let everything through. One that
defines ``count_with(meters)`` is given the meters of `/metrics` once, before it is asked anything.

Every problem is found in one go; when there is one, what was made already is closed again.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gateway import catalog
from gateway.config import Config, ConfigError, PolicyOptions, Problem, ProviderOptions, StrategyOptions
from gateway.contracts import Phase, Task

if TYPE_CHECKING:
    from gateway.telemetry.meters import Meters

SEE = "see docs/extending.md"
log = logging.getLogger("gateway")


class CannotWire(ConfigError):
    """Extensions do not work out. The problems say where they are configured and quote no setting."""


class Builder:
    """Makes the extensions of one configuration. One that cannot be built is None, and every fault is a problem."""

    def __init__(self, config: Config, meters: Meters) -> None:
        self._config = config
        self._meters = meters
        self._problems: dict[Problem, None] = {}  # in order, and each once
        self._made: list[Any] = []

    def finish(self) -> None:
        """Raises CannotWire if anything went wrong."""
        if self._problems:
            raise CannotWire(self._problems)

    def undo(self) -> None:
        """Close what was made: nobody will use it."""
        for made in self._made:
            if _is_plain(getattr(made, "close", None)):
                try:
                    made.close()
                except Exception:
                    log.exception("%s cannot be closed", type(made).__name__)
        self._made.clear()

    def provider(self, name: str, options: ProviderOptions) -> Any | None:
        path = ("providers", name)
        made = self._built(path, lambda: catalog.providers.get(options.type)(name, options), "request", may=["perform"])
        if made is not None and getattr(made, "name", None) != name:
            self._wrong(path, f"{type(made).__name__} must keep the name it is given in its attribute name")
        tasks = getattr(made, "tasks", None)
        if made is not None and not (isinstance(tasks, (set, frozenset)) and all(isinstance(t, Task) for t in tasks)):
            self._wrong(path, f"{type(made).__name__} must have a set of Tasks as its attribute tasks")
        return made

    def policy(self, position: int, options: PolicyOptions) -> Any | None:
        hooks = [phase.value for phase in Phase]
        return self._built(("policies", position), lambda: catalog.policies.get(options.type)(options), *hooks)

    def strategy(self, path: tuple[str, ...], options: StrategyOptions) -> Any | None:
        kind = catalog.strategies.get(options.type)
        return self._built(path, lambda: kind(options) if hasattr(kind, "Options") else kind(), "choose")

    def endpoints(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data endpoints by path, and pages by each of their paths. A path belongs to one of them."""
        calls: dict[str, Any] = {}
        pages: dict[str, Any] = {}
        for name in catalog.endpoints.names():
            try:
                endpoint = catalog.endpoints.get(name)()
            except catalog.UnknownName as problem:  # an installed package brought it; no configuration names it
                self._wrong((), str(problem), "")
                continue
            data = hasattr(endpoint, "dialect")
            for path in (endpoint.path,) if data else endpoint.paths:
                if path in calls or path in pages:
                    self._wrong((), f'endpoint "{name}": {path} is served by another one already', "")
                (calls if data else pages)[path] = endpoint
        return calls, pages

    def _built(
        self, path: tuple[str | int, ...], make: Callable[[], Any], *hooks: str, may: Sequence[str] = ()
    ) -> Any | None:
        """What it says itself when it fails is withheld: that might quote a setting, and the setting be a secret."""
        try:
            made = make()
            self._made.append(made)
            if hasattr(made, "count_with"):
                made.count_with(self._meters)
        except (Exception, SystemExit) as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            where = f"{type(problem).__name__} in {last.filename}, line {last.lineno}"
            self._wrong(path, f"cannot be built: {where}", "")
            return None
        name = type(made).__name__
        if not any(callable(getattr(made, hook, None)) for hook in hooks):
            self._wrong(path, f"{name} has no {' or '.join(hooks)}")
        for hook in (*hooks, *may, "close"):
            if hasattr(made, hook) and not _is_plain(getattr(made, hook)):
                self._wrong(path, f"{name}.{hook} must be a plain function, without async")
        return made

    def _wrong(self, path: tuple[str | int, ...], problem: str, cure: str = SEE) -> None:
        self._problems[self._config.problem(path, problem, cure)] = None


def _is_plain(hook: Any) -> bool:
    """A call of it is all there is to it: nothing to wait for, nothing to iterate."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return callable(hook) and not any(kind(hook) for kind in kinds)
