from typing import Literal, final

from typing_extensions import disjoint_base

@disjoint_base
class Rule:
    @property
    def name(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def on_full(self) -> str: ...
    @property
    def limit(self) -> int: ...
    @property
    def period(self) -> int: ...
    @property
    def capacity(self) -> int: ...

@final
class TokenBucket(Rule):
    def __new__(
        cls,
        name: str,
        *,
        limit: int,
        period: int,
        burst: int | None = None,
        on_full: Literal["refuse", "admit"] = "refuse",
    ) -> TokenBucket: ...

@final
class LeakyBucket(Rule):
    def __new__(
        cls,
        name: str,
        *,
        limit: int,
        period: int,
        capacity: int | None = None,
        on_full: Literal["refuse", "admit"] = "refuse",
    ) -> LeakyBucket: ...

@final
class FixedWindow(Rule):
    def __new__(
        cls, name: str, *, limit: int, period: int, on_full: Literal["refuse", "admit"] = "refuse"
    ) -> FixedWindow: ...

@final
class SlidingWindow(Rule):
    def __new__(
        cls, name: str, *, limit: int, period: int, on_full: Literal["refuse", "admit"] = "refuse"
    ) -> SlidingWindow: ...

@final
class Concurrency(Rule):
    def __new__(cls, name: str, *, limit: int, on_full: Literal["refuse", "admit"] = "refuse") -> Concurrency: ...
