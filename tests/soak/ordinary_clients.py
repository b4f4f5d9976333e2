"""``python -m tests.soak.ordinary_clients PORT RATE``: ordinary requests at a steady pace, half of them short streams.

It says "ready", then for every line that it reads how the requests since the line before went: their number, P50 and
P99 in milliseconds, and what went wrong. A request is due at its moment whether or not the one before has been
answered.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from tests.harness.load import Connection, spoken
from tests.soak.program import say

IDLE_MOST = 16
PATIENCE = 30.0


class Ordinary:
    def __init__(self, port: int, rate: float) -> None:
        self._port, self._pause = port, 1 / rate
        self._idle: list[Connection] = []
        self._times: list[float] = []
        self._wrong: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        due, number = time.monotonic(), 0
        while True:
            due += self._pause
            await asyncio.sleep(due - time.monotonic())
            number += 1
            task = asyncio.get_running_loop().create_task(self._one(due, number % 2 == 0))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, due: float, stream: bool) -> None:
        connection = self._idle.pop() if self._idle else Connection(("127.0.0.1", self._port))
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.ask("echo", "one two three", stream=stream)
                said = await connection.rest()
                if stream:
                    spoken(said)
        except (OSError, EOFError, ValueError, TimeoutError) as problem:
            self._wrong.append(f"{type(problem).__name__}: {problem}")
            connection.close()
            return
        self._times.append(time.monotonic() - due)
        if len(self._idle) < IDLE_MOST:
            self._idle.append(connection)
        else:
            connection.close()

    def told(self) -> dict[str, object]:
        """How it went since it was told last."""
        times, wrong = sorted(self._times), self._wrong
        self._times, self._wrong = [], []
        share = [round(1000 * times[int(len(times) * part)], 1) if times else 0.0 for part in (0.5, 0.99)]
        return {
            "answered": len(times),
            "running": len(self._tasks),
            "p50": share[0],
            "p99": share[1],
            "wrong": wrong[:5],
        }


async def main(port: int, rate: float) -> None:
    ordinary = Ordinary(port, rate)
    running = asyncio.create_task(ordinary.run())
    say("ready")
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        say(ordinary.told())
    running.cancel()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
