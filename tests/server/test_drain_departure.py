"""How a worker leaves: what it waits for, in which order, and how long. Real connections, in this process's loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.deadlines import TimerWheel
from gateway.lanes.aiohttp_server import HttpServer
from gateway.lanes.application import Application
from gateway.lanes.generations import Generations
from gateway.server.departure import Departure, Left, Mode
from gateway.server.doors import Doors
from gateway.server.listeners import Listener
from gateway.server.settings import Address
from tests.stand_ins import runtime, snapshot

CEILING = 20.0
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Stage:
    """A server whose only page waits until `go` is set."""

    def __init__(self, retire_idle: float) -> None:
        self.runtime: Any = runtime(snapshot())
        self.runtime.wheel = TimerWheel()
        self.application = Application(self.runtime, Generations(lambda _: None))
        self.go = asyncio.Event()
        self.asked = 0
        self.clients: list[Client] = []
        self.server = HttpServer(self.answer, access_log=None)
        self.doors = Doors(self.server)
        self.departure = Departure(self.runtime, self.application, self.server, self.doors, retire_idle=retire_idle)
        self.listener = Listener(Address("127.0.0.1:0", "127.0.0.1", 0), 1)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection: Any = request.protocol
        connection.begins()
        self.asked += 1
        closing = self.runtime.leaving
        await self.go.wait()
        response = web.Response(text="done")
        if closing:
            response.force_close()
        connection.ends()
        return response

    async def connect(self) -> Client:
        self.clients.append(await asyncio.open_connection("127.0.0.1", self.listener.port))
        return self.clients[-1]

    async def ask(self, client: Client) -> None:
        before = self.asked
        client[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: self.asked > before)

    def leave(self, mode: Mode, delay: float = 0.0, timeout: float = CEILING) -> asyncio.Task[Left]:
        assert self.departure.urge(mode)
        return asyncio.create_task(self.departure.run(delay, timeout))


async def until(condition: Any) -> None:
    async with asyncio.timeout(CEILING):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def is_closed(client: Client) -> bool:
    """What comes until the end; whether it is the end."""
    async with asyncio.timeout(CEILING):
        await client[0].read()
    return client[0].at_eof()


@asynccontextmanager
async def stage(retire_idle: float = 0.3) -> AsyncIterator[Stage]:
    built = Stage(retire_idle)
    try:
        for number, each in built.listener.sockets.items():
            await built.doors.open(number, os.dup(each.fileno()))
        yield built
    finally:
        built.listener.close()
        built.doors.release(built.doors.numbers)
        for connection in built.server.connections:
            connection.force_close()
        for _, writer in built.clients:
            writer.close()
            await writer.wait_closed()


def test_a_retiring_worker_closes_the_idle_last_and_waits_for_what_runs() -> None:
    async def run() -> None:
        async with stage(retire_idle=0.5) as here:
            here.go.set()
            idle, running = await here.connect(), await here.connect()
            await here.ask(idle)
            await until(lambda: not any(each.busy for each in here.server.connections))  # type: ignore[attr-defined]
            here.go.clear()
            await here.ask(running)
            began = asyncio.get_running_loop().time()
            leaving = here.leave(Mode.RETIRING)
            assert await is_closed(idle)
            assert asyncio.get_running_loop().time() - began >= 0.4
            assert (here.runtime.leaving, here.runtime.draining) == (True, False)
            assert not leaving.done()
            here.go.set()
            assert b"done" in await asyncio.wait_for(running[0].read(), CEILING)
            assert await asyncio.wait_for(leaving, CEILING) == Left(0, 0)
            assert here.doors.numbers == []

    asyncio.run(run())


def test_the_next_answer_of_a_retiring_worker_asks_for_another_connection() -> None:
    async def run() -> None:
        async with stage(retire_idle=CEILING) as here:
            here.go.set()
            client = await here.connect()
            await here.ask(client)
            leaving = here.leave(Mode.RETIRING)
            await here.ask(client)
            said = await asyncio.wait_for(client[0].read(), CEILING)
            assert said.lower().count(b"connection: close") == 1
            assert await asyncio.wait_for(leaving, CEILING) == Left(0, 0)

    asyncio.run(run())


def test_a_drain_waits_its_delay_and_then_refuses_and_closes_the_idle() -> None:
    async def run() -> None:
        async with stage() as here:
            here.go.set()
            idle = await here.connect()
            await here.ask(idle)
            leaving = here.leave(Mode.DRAINING, delay=0.5)
            assert (here.runtime.leaving, here.runtime.draining) == (True, True)
            await asyncio.sleep(0.2)
            late = await here.connect()  # still served
            await here.ask(late)
            assert b"done" in await asyncio.wait_for(late[0].read(), CEILING)
            assert await is_closed(idle)
            assert await asyncio.wait_for(leaving, CEILING) == Left(0, 0)
            with pytest.raises(ConnectionRefusedError):
                await here.connect()

    asyncio.run(run())


def test_one_that_has_not_asked_yet_gets_a_moment() -> None:
    async def run() -> None:
        async with stage() as here:
            here.go.set()
            client = await here.connect()
            await until(lambda: here.server.connections)
            leaving = here.leave(Mode.DRAINING)
            await asyncio.sleep(0.4)
            await here.ask(client)
            assert b"done" in await asyncio.wait_for(client[0].read(), CEILING)
            assert await asyncio.wait_for(leaving, CEILING) == Left(0, 0)

    asyncio.run(run())


def test_more_urgent_wins_and_less_urgent_is_no_news() -> None:
    async def run() -> None:
        async with stage(retire_idle=1000) as here:
            here.go.set()
            client = await here.connect()
            await here.ask(client)
            leaving = here.leave(Mode.RETIRING)
            await asyncio.sleep(0.1)
            assert here.departure.urge(Mode.DRAINING)
            assert not here.departure.urge(Mode.RETIRING)
            assert not here.departure.urge(Mode.DRAINING)
            assert here.runtime.draining
            assert await asyncio.wait_for(leaving, CEILING) == Left(0, 0)
            assert await is_closed(client)

    asyncio.run(run())


def test_stopping_waits_for_nobody() -> None:
    async def run() -> None:
        async with stage(retire_idle=1000) as here:
            client = await here.connect()
            await here.ask(client)
            leaving = here.leave(Mode.DRAINING, delay=1000, timeout=1000)
            await asyncio.sleep(0.05)
            assert here.departure.urge(Mode.STOPPING)
            assert await asyncio.wait_for(leaving, CEILING) == Left(0, 0)  # a page is no exchange

    asyncio.run(run())
