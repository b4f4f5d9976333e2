"""The shapes the pipeline works with. Whoever fits one of them can be plugged in; nobody inherits.

The phases of a request, in order (a policy takes part in those whose hook it defines):

    HEAD     on_head(exchange)              headers only: a refused caller never makes us read a body
    ADMIT    admit(exchange)                the request is read, valid, and its model is known
    ATTEMPT  on_attempt(exchange, target)   before each try; may refuse this target by raising
    RELEASE  release(exchange)              once, in reverse order: give back what was held, before the client
                                            can see the end of its answer; must not raise
    SETTLE   settle(exchange)               once, in reverse order, after everything; must not raise

Push, not pull: an upstream response pushes its body into a function as it arrives. The function gives
None ("go on") or something to await first ("the client is behind"); that is the whole back-pressure. Whoever
will not await that, having been cancelled, closes it if it can be closed. A `Reply` answers alike: None means
that it is done, anything else has to be awaited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gateway.deadlines import Clock

if TYPE_CHECKING:
    from gateway._fast import SseScanner
    from gateway.conversation import Usage
    from gateway.errors import GatewayError
    from gateway.exchange import Call, Exchange
    from gateway.snapshot import Runtime

Feed = Callable[[bytes], Awaitable[None] | None]


class Phase(Enum):
    """When a policy is asked; the value is the name of its hook."""

    HEAD = "on_head"
    ADMIT = "admit"
    ATTEMPT = "on_attempt"
    RELEASE = "release"
    SETTLE = "settle"

    __hash__ = object.__hash__  # as they compare, by identity: Enum's own is slow, and every request asks


class Task(Enum):
    """What a request wants done; the value is its path below a provider's OpenAI-compatible root."""

    CHAT = "chat/completions"
    COMPLETION = "completions"
    EMBEDDING = "embeddings"

    __hash__ = object.__hash__


class Reply(Protocol):
    """The client's side of one exchange."""

    @property
    def started(self) -> bool:
        """A head has been sent: the status can no longer change."""

    @property
    def gone(self) -> bool:
        """The client has left."""

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> Awaitable[None] | None:
        """The whole answer."""

    def begin(self, status: int, headers: Mapping[str, str]) -> Awaitable[None] | None:
        """The head; it may wait for the first `write` or `end`, so that both leave together."""

    def write(self, data: bytes) -> Awaitable[None] | None: ...
    def end(self) -> Awaitable[None] | None: ...
    def abort(self) -> None:
        """Cut the connection: the only honest end of an answer that cannot be finished."""


class Body(Protocol):
    """A request's body, not yet read."""

    def read(self, limit: int) -> bytes | Awaitable[bytes]:
        """The whole body, decoded; what is here already need not be awaited.

        Raises GatewayError, at once or when awaited: 413 over `limit` bytes, 415, 400, 408.
        """


@dataclass(slots=True, eq=False)
class WireHead:
    """The head of requests to a provider. Make it once and use it for many: an upstream renders it once."""

    method: str
    url: str
    headers: Mapping[str, str]
    rendered: Any = None  # the upstream's, for whatever it makes of the head


class WireRequest(NamedTuple):
    """What goes to a provider."""

    head: WireHead
    body: bytes


class UpstreamResponse(Protocol):
    """A provider's answer whose head has arrived. Close it on every path; closing early aborts it."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    async def push(self, feed: Feed) -> None:
        """Give every part of the body to `feed` as it arrives; return at its proper end.

        Raises GatewayError when it breaks off; an exception from `feed` ends the push.
        """

    def close(self) -> None: ...


class Upstream(Protocol):
    """Opens connections to one provider and sends requests over them."""

    async def send(self, request: WireRequest, waiting: Callable[[Clock], None]) -> UpstreamResponse:
        """Send; return when the head of the answer is here.

        `waiting` is told what is being waited for: QUEUE, for one of the connections that may be open at
        once; CONNECT, for a new connection; FIRST_CONTENT, from the moment there is one.
        """

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Performance:
    """What a built-in provider does instead of answering over a network: pauses (seconds) and bytes."""

    status: int
    headers: Mapping[str, str]
    parts: Iterator[tuple[float, bytes]]


class Provider(Protocol):
    """Whom we call: address, authentication, differences. No I/O."""

    name: str
    tasks: frozenset[Task]  # what it can do; it is not asked for anything else

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        """The request that asks `model` for what `call` asks."""


class PerformingProvider(Provider, Protocol):
    """A provider that answers inside the process."""

    def perform(self, request: WireRequest) -> Performance: ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `total` counts from the request's arrival over all attempts."""

    connect: float
    first_content: float
    idle: float
    total: float

    def of(self, clock: Clock) -> float:
        """The limit of a wait before the answer."""
        return self.first_content if clock is Clock.FIRST_CONTENT else self.connect


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One model at one provider."""

    provider: Provider
    model: str
    upstream: Upstream
    timeouts: Timeouts
    secrets: Sequence[str] = ()  # what no error may show, whatever the provider says


class Strategy(Protocol):
    """Which of the eligible targets takes this attempt. Pure but for its own counters."""

    def choose(self, targets: Sequence[Target], exchange: Exchange) -> Target | None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model that clients may ask for is served."""

    model: str
    targets: Sequence[Target]
    strategy: Strategy


class Policy(Protocol):
    """What may happen before and after an attempt: any of the hooks that `Phase` names."""


class Dialect(Protocol):
    """A client-side wire format for one task. No I/O."""

    streams: bool  # may a request ask for a stream?
    request: Any  # the rule of its fields, with its JSON Schema as `schema`

    def check(self, fields: Mapping[str, Any]) -> None:
        """Ranges and required fields. Raises GatewayError naming the parameter."""

    def scanner(self, call: Call, *, event_hold: int, drop_malformed: bool) -> SseScanner:
        """A watcher for the stream that answers `call`."""

    def usage(self, fields: Mapping[str, Any]) -> Usage | None:
        """The neutral form of a usage object."""

    def error_event(self, error: GatewayError) -> bytes:
        """How an error reads in a stream that has begun."""


class Endpoint(Protocol):
    """A call clients may make that reaches a provider."""

    path: str
    task: Task
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a page shows."""

    status: int
    body: bytes
    content_type: str = "application/json"


class Page(Protocol):
    """A call the gateway answers by itself: health, models, metrics. GET and HEAD only.

    `paths` may end in ``/*``: the rest of the path is then given as `rest`.
    """

    paths: Sequence[str]

    async def show(self, runtime: Runtime, rest: str) -> PageAnswer: ...
