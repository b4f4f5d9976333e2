"""One request to a scripted server, and all that came of it: the same words for both clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop

from gateway.contracts import UpstreamResponse, WireHead, WireRequest
from gateway.deadlines import Clock
from gateway.errors import GatewayError, Kind
from gateway.upstream.aiohttp_client import AiohttpUpstream
from gateway.upstream.fast_client import FastUpstream
from gateway.upstream.proxies import Proxies

Client = type[FastUpstream] | type[AiohttpUpstream]
CLIENTS: Mapping[str, Client] = {"fast": FastUpstream, "aiohttp": AiohttpUpstream}
PATIENCE = 20.0  # seconds; nothing here takes a tenth of it
Result = TypeVar("Result")


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """On the loop that workers run on: nothing is said to its handler, and no connection stays open."""
    said: list[dict[str, Any]] = []

    async def watched() -> Result:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        before = sockets()
        result = await asyncio.wait_for(main(), PATIENCE)
        await until(lambda: sockets() <= before, "every connection is closed, on both sides")
        return result

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    result = runner.run(watched())
    runner.close()  # not after a failure: uvloop would wait for ever for what the failed test left open
    assert not said
    return result


def sockets() -> int:
    """How many this process has open, the servers of its tests included."""
    kinds = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            kinds.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(kind.startswith("socket:") for kind in kinds)


@dataclass
class Outcome:
    """What came of a request. `parts` came before the error, if there was one."""

    response: UpstreamResponse | None = None
    parts: list[bytes] = field(default_factory=list)
    error: GatewayError | None = None
    clocks: list[Clock] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def status(self) -> int:
        assert self.response is not None
        return self.response.status

    @property
    def kind(self) -> Kind | None:
        return None if self.error is None else self.error.kind


def request(url: str, body: bytes = b"{}", **headers: Any) -> WireRequest:
    return WireRequest(WireHead("POST", url, {"content-type": "application/json", **headers}), body)


async def ask(
    upstream: FastUpstream | AiohttpUpstream,
    asked: WireRequest,
    feed: Callable[[bytes], Awaitable[None] | None] | None = None,
) -> Outcome:
    """Send, read to the end, close."""
    outcome = Outcome()
    response: UpstreamResponse | None = None
    try:
        response = outcome.response = await upstream.send(asked, outcome.clocks.append)
        await response.push(feed or outcome.parts.append)
    except GatewayError as error:
        outcome.error = error
    finally:
        if response is not None:
            response.close()
    return outcome


def upstream_of(client: Client, connections: int = 10, **settings: Any) -> FastUpstream | AiohttpUpstream:
    given = {"keep_alive": 60.0, "proxies": Proxies("p0", {}), **settings}
    return client("p0", connections=connections, **given)


async def until(condition: Callable[[], object], what: str = "") -> None:
    """`condition` holds, at last."""
    end = asyncio.get_running_loop().time() + PATIENCE / 2
    while not condition():
        assert asyncio.get_running_loop().time() < end, what or condition
        await asyncio.sleep(0.005)
