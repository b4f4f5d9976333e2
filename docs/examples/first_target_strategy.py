"""A strategy of your own: always the first target, the others only when it failed.

models:
  llama:
    targets: [{provider: loud}, {provider: quiet}]
    strategy: {type: first_target_strategy:FirstTarget, most: 2}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from gateway.config import StrategyOptions
from gateway.contracts import Target
from gateway.exchange import Exchange


class FirstTargetOptions(StrategyOptions):
    """A strategy without settings leaves this out, and its constructor takes nothing."""

    most: Annotated[int, Field(ge=1)] = 3  # attempts per request


class FirstTarget:
    """One object per model. Plain code: no waiting, no I/O; None means that nobody is left to try."""

    Options = FirstTargetOptions

    def __init__(self, options: FirstTargetOptions) -> None:
        self._most = options.most

    def choose(self, targets: Sequence[Target], exchange: Exchange) -> Target | None:
        if len(exchange.attempts) >= self._most:
            return None
        return next((target for target in targets if not exchange.tried(target)), None)
