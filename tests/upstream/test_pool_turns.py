"""A pool under all that can happen to it in any turn: places are neither lost nor found, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from gateway.deadlines import Clock
from gateway.upstream.pool import Pool


class Connection:
    """As the pool sees one."""

    def __init__(self, owner: Pool) -> None:
        self.usable = True
        self.until = 0.0
        self._owner = owner
        self._held = True

    def close(self) -> None:
        self.usable = False
        if self._held:
            self._held = False
            self._owner.lost(self)  # type: ignore[arg-type]

    def give(self) -> None:
        self._owner.give(self, -1.0)  # type: ignore[arg-type]


class Server:
    """Makes connections, now and then none; `most`: how many were open at once."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.made: list[Connection] = []
        self.most = 0
        self.fails = 0.0

    async def dial(self, owner: Pool) -> Any:
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)
        if self.chance.random() < self.fails:
            raise ConnectionRefusedError
        connection = Connection(owner)
        self.made.append(connection)
        self.most = max(self.most, sum(each.usable for each in self.made))
        return connection


def told(_: Clock) -> None: ...


async def use(pool: Pool, server: Server) -> None:
    """One request, and what may become of its connection."""
    connection: Any = pool.take() or await pool.wait(told)
    try:
        for _ in range(server.chance.randrange(3)):
            await asyncio.sleep(0)
        if server.chance.random() < 0.2:  # it found it dead
            connection.usable = connection._held = False
            connection = await pool.again(told)
    except BaseException:
        connection.close()
        raise
    if server.chance.random() < 0.7:
        connection.give()
    else:
        connection.close()


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_whatever_happens_every_place_is_there_in_the_end(limit: int) -> None:
    async def main(seed: int) -> None:
        server = Server(seed)
        server.fails = 0.2
        pool = Pool(server.dial, limit=limit, keep_alive=60.0)
        asked: list[asyncio.Task[None]] = []
        for _ in range(40):
            asked.append(asyncio.ensure_future(use(pool, server)))
            for _ in range(server.chance.randrange(3)):
                await asyncio.sleep(0)
            if server.chance.random() < 0.3:
                server.chance.choice(asked).cancel()
            idle = [*pool._kept, *pool._handed]
            if idle and server.chance.random() < 0.3:
                server.chance.choice(idle).close()  # it died while nobody used it
        for done in await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10):
            assert done is None or isinstance(done, asyncio.CancelledError | ConnectionRefusedError), done
        assert server.most <= limit
        assert (pool._places, len(pool._handed)) == (len(pool._kept), 0)
        pool.close()
        assert pool._places == 0

    for seed in range(150):
        asyncio.run(main(seed))


def test_a_connection_that_dies_when_it_was_just_handed_on_leaves_its_place_to_its_taker() -> None:
    async def main() -> None:
        server = Server()
        pool = Pool(server.dial, limit=1, keep_alive=60.0)
        first: Any = await pool.wait(told)
        clocks: list[Clock] = []
        waiting = asyncio.ensure_future(pool.wait(clocks.append))
        await asyncio.sleep(0)
        first.give()
        first.close()
        second: Any = await waiting
        assert second is not first
        assert clocks == [Clock.QUEUE, Clock.CONNECT]
        assert pool._places == 1
        second.give()
        assert pool.take() is second

    asyncio.run(main())
