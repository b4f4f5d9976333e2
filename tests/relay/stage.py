"""The pipeline on a stage: no sockets, a clock moved by hand, a scripted upstream and a scripted client.

`on_stage` makes a test of a coroutine and fails it when a task is left behind or an exception was never
retrieved. Nothing here waits for real time.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from gateway.contracts import Endpoint, Feed, Phase, Plan, Target, Task, Timeouts, WireRequest
from gateway.deadlines import Clock, TimerWheel
from gateway.dialects.openai_passthrough import Passthrough
from gateway.endpoints.chat_completions import ChatCompletions
from gateway.exchange import Call, Exchange
from gateway.pipeline import handle
from gateway.routing.round_robin import RoundRobin
from gateway.snapshot import Limits, Runtime, Snapshot
from gateway.telemetry.exposition import render
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters
from tests.relay.clock import HandClock, rest

gc.freeze()  # what is loaded by now is never garbage: collecting after each test stays quick

HANG = "hang"
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
TIMEOUTS = Timeouts(connect=2.0, first_content=5.0, idle=3.0, total=60.0)
LIMITS = Limits(
    max_body=1 << 20,
    max_answer=1 << 20,
    body_timeout=10.0,
    keepalive_after=1e6,
    client_write=4.0,
    event_hold=65536,
    drop_malformed=True,
)
Step = bytes | float | str | BaseException


@dataclass
class Answer:
    """What the upstream does. Steps: bytes are pushed, numbers are pauses, exceptions are raised, `HANG`."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: SSE)
    before_connection: Sequence[Step] = ()
    before_head: Sequence[Step] = ()


class ScriptedUpstream:
    """Plays its answers in turn; the last one stays."""

    def __init__(self, clock: HandClock, *answers: Answer) -> None:
        self._clock = clock
        self._answers = list(answers)
        self.responses: list[ScriptedResponse] = []
        self.sent: list[WireRequest] = []

    async def send(self, request: WireRequest, waiting: Callable[[Clock], None]) -> ScriptedResponse:
        self.sent.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await self._play(answer.before_connection)
        waiting(Clock.FIRST_CONTENT)
        await self._play(answer.before_head)
        response = ScriptedResponse(answer, self._play)
        self.responses.append(response)
        return response

    async def close(self) -> None:
        return None

    async def _play(self, steps: Sequence[Step], feed: Feed | None = None) -> None:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, bytes):
                assert feed is not None
                waiting = feed(step)
                if waiting is not None:
                    await waiting
            elif isinstance(step, str):
                await asyncio.get_running_loop().create_future()
            else:
                await self._clock.sleep(step)


class ScriptedResponse:
    def __init__(self, answer: Answer, play: Callable[[Sequence[Step], Feed], Coroutine[Any, Any, None]]) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.closed = 0
        self._answer = answer
        self._play = play

    async def push(self, feed: Feed) -> None:
        await self._play(self._answer.steps, feed)

    def close(self) -> None:
        self.closed += 1


class Client:
    """The client's side: a Reply that keeps what it is given. `pausing` makes every step wait one turn."""

    def __init__(self, *, pausing: bool = False) -> None:
        self.pausing = pausing
        self.stalled = False
        self.started = False
        self.gone = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.closing = False
        self.ended = 0
        self.aborted = 0
        self._room: asyncio.Future[None] | None = None

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)

    def take(self) -> None:
        """The stalled client reads again."""
        self.stalled = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        assert not self.started, "a second head"
        self._head(status, headers)
        self.parts.append(body)
        await self._wait()
        self.ended += 1

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        assert not self.started, "a second head"
        self.started = True
        await self._turn()
        self._head(status, headers)

    def write(self, data: bytes) -> Awaitable[None] | None:
        assert self.status is not None, "a body before its head"
        assert not self.closing, "a body after its end"
        self.parts.append(data)
        return self._wait() if self.stalled or self.pausing else None

    async def end(self) -> None:
        self.closing = True
        await self._wait()
        self.ended += 1

    def abort(self) -> None:
        self.aborted += 1
        self.gone = True

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.started, self.status, self.headers = True, status, headers

    async def _turn(self) -> None:
        if self.pausing:
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        await self._turn()
        if self.stalled:
            if self._room is None or self._room.done():
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)


class Scene:
    """One request with everything around it."""

    def __init__(
        self,
        *answers: Answer | Sequence[Answer],
        timeouts: Timeouts = TIMEOUTS,
        client: Client | None = None,
        **limits: Any,
    ) -> None:
        self.clock = HandClock()
        self.client = client or Client()
        self.settled: list[Exchange] = []
        self.shown: list[tuple[bytes, int]] = []  # what the client had got when its slots were released, and its end
        each = [[answer] if isinstance(answer, Answer) else list(answer) for answer in answers]
        self.upstreams = [ScriptedUpstream(self.clock, *answers) for answers in each]
        targets = [
            Target(_Provider(f"p{number}"), "m", upstream, timeouts) for number, upstream in enumerate(self.upstreams)
        ]
        hooks: dict[Phase, list[Any]] = {phase: [] for phase in Phase}
        hooks[Phase.RELEASE].append(lambda _: self.shown.append((self.client.data, self.client.ended)))
        hooks[Phase.SETTLE].append(self.settled.append)
        self.snapshot = Snapshot(
            generation=1,
            endpoints={},
            pages={},
            plans={"m": Plan("m", targets, RoundRobin())},
            hooks=hooks,
            upstreams=self.upstreams,
            limits=replace(LIMITS, **limits),
        )
        self.wheel = TimerWheel(now=self.clock.now, call_later=self.clock.call_later)
        self.meters = Meters()
        self.runtime = Runtime(self.snapshot, self.wheel, self.meters, RequestMeters(self.meters), None)

    @property
    def exchange(self) -> Exchange:
        """The settled exchange; there is exactly one."""
        (exchange,) = self.settled
        return exchange

    @property
    def responses(self) -> list[ScriptedResponse]:
        return [response for upstream in self.upstreams for response in upstream.responses]

    def start(self, **fields: Any) -> asyncio.Task[None]:
        """Begin to handle a request; `fields` are added to its body."""
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, **fields}
        exchange = Exchange(
            id="the-request",
            method="POST",
            path="/v1/chat/completions",
            endpoint=cast(Endpoint, ChatCompletions()),
            snapshot=self.snapshot,
            headers={},
            now=self.clock.now,
            received=self.clock.now(),
        )
        return asyncio.get_running_loop().create_task(
            handle(exchange, self.runtime, _Body(json.dumps(body).encode()), self.client)
        )

    async def play(self, seconds: float = 0.0, **fields: Any) -> Client:
        """Handle a request whose script takes `seconds`, to its end."""
        task = self.start(**fields)
        await self.clock.advance(seconds)
        assert task.done(), "still at it"
        await task
        self.check_nothing_is_left()
        return self.client

    def check_nothing_is_left(self) -> None:
        assert len(self.settled) == 1
        self.check_slots_were_released_before_the_end()
        assert self.runtime.meters.active.value == 0
        assert [response.closed for response in self.responses] == [1] * len(self.responses)
        assert len(self.wheel) == 0

    def check_slots_were_released_before_the_end(self) -> None:
        """Else the client's next request may find them taken."""
        ((shown, ended),) = self.shown
        assert ended == 0
        assert b"[DONE]" not in shown
        assert b'"finish_reason":"' not in shown
        assert b'"error"' not in shown

    def meter(self, name: str) -> float:
        """A family's sum over its labels."""
        lines = (line.rpartition(" ") for line in render(self.meters).decode().splitlines() if line.startswith(name))
        return sum(float(value) for text, _, value in lines if text.partition("{")[0] == name)


class _Provider:
    tasks = frozenset(Task)

    def __init__(self, name: str) -> None:
        self.name = name

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        return Passthrough("http://upstream/v1", {}).request(task, call, model)


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, limit: int) -> bytes:
        await asyncio.sleep(0)
        return self._body


def on_stage(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A coroutine as a test that leaves no task and no exception behind."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        problems: list[Mapping[str, Any]] = []

        async def watched() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: problems.append(context))
            await test(*args, **named)
            await rest()
            gc.collect()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

        asyncio.run(watched())
        assert not problems, problems

    return run
