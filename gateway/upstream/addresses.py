"""The addresses of hosts, remembered for `dns_ttl` seconds.

* Who asks for a host while it is being looked up waits for the same answer; who is cancelled ends it for nobody else.
* A failure is not remembered: the next connection asks again.
* The addresses of a host take turns in being the first, so that connections spread; whoever connects tries them all.
* An address that is written as one is looked up nowhere.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

AddressInfo = tuple[Any, Any, int, str, Any]  # as getaddrinfo has it


class Addresses:
    """What is known of hosts. `now` is the process's clock, or a test's."""

    def __init__(self, ttl: float, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._now = now
        self._known: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    async def of(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses to try, in this order. Raises OSError."""
        if (literal := _literal(host, port)) is not None:
            return literal
        place = host, port
        asked, found = self._known.get(place, (-self._ttl, []))
        if not found or self._now() - asked >= self._ttl:
            return list(await self._look_up(place))
        found.append(found.pop(0))
        return list(found)

    async def _look_up(self, place: tuple[str, int]) -> list[AddressInfo]:
        if place not in self._asking:
            task = asyncio.get_running_loop().create_task(self._ask(place))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # heard, even if nobody waits
            self._asking[place] = task
        return await asyncio.shield(self._asking[place])

    async def _ask(self, place: tuple[str, int]) -> list[AddressInfo]:
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(*place, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "no address")
        finally:
            del self._asking[place]
        self._known[place] = self._now(), list(found)
        return self._known[place][1]


def _literal(host: str, port: int) -> list[AddressInfo] | None:
    try:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))
    except OSError:
        return None
