import asyncio
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self, final

from typing_extensions import disjoint_base

class Clock(Enum):
    BODY = "body"
    QUEUE = "queue"
    CONNECT = "connect"
    FIRST_CONTENT = "first_content"
    IDLE = "idle"
    TOTAL = "total"
    CLIENT_WRITE = "client_write"
    FINISH = "finish"
    DRAIN = "drain"

class DeadlinePassed(Exception):
    clock: Clock
    def __init__(self, clock: Clock) -> None: ...

@disjoint_base
class Deadline:
    latest: float
    @property
    def at(self) -> float: ...
    @property
    def clock(self) -> Clock: ...
    def __new__(cls, wheel: TimerWheel, fire: Callable[[], None] | None = None) -> Self: ...
    def set(self, clock: Clock, seconds: float) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def run_out(self) -> None: ...

@final
class Guard(Deadline):
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

@final
class TimerWheel:
    @property
    def tick(self) -> float: ...
    @property
    def now(self) -> Callable[[], float]: ...
    @property
    def over(self) -> float: ...
    @property
    def asleep(self) -> bool: ...
    def __new__(
        cls,
        *,
        tick: float = 0.02,
        now: Callable[[], float] = ...,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] | None = None,
    ) -> TimerWheel: ...
    def guard(self, *, latest: float = ...) -> Guard: ...
    def watch(self, fire: Callable[[], None]) -> Deadline: ...
    def end(self) -> None: ...
    def __len__(self) -> int: ...
