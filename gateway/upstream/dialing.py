"""A new connection to a provider: its name, all its addresses, TLS. What fails reads as `failures` has it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from typing import TYPE_CHECKING

from aiohappyeyeballs import start_connection

from gateway._fast import UpstreamConnection
from gateway.upstream import failures, tls
from gateway.upstream.addresses import Addresses

if TYPE_CHECKING:
    from gateway.upstream.pool import Pool

NEXT_ADDRESS = 0.25  # seconds until the next address is tried beside the one before (RFC 8305)


class Dialing:
    """How one address of one provider is reached."""

    def __init__(self, provider: str, host: str, port: int, addresses: Addresses, *, encrypted: bool) -> None:
        self._provider = provider
        self._place = host, port
        self._addresses = addresses
        self._encrypted = encrypted
        self._broken = functools.partial(failures.broken_off, provider)

    async def connection(self, owner: Pool) -> UpstreamConnection:
        """A connection that belongs to `owner`. Raises GatewayError."""
        try:
            addresses = await self._addresses.of(*self._place)
        except OSError as problem:
            raise failures.unresolvable(self._provider) from problem
        try:
            reached = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS)
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = await self._over(reached, owner)
        except (OSError, RuntimeError) as problem:  # uvloop raises RuntimeError for some of them
            raise failures.unreachable(self._provider, problem) from problem
        if not connection.usable:  # it was closed, or spoke unasked, before we had a turn
            raise failures.lost(self._provider)
        return connection

    async def _over(self, reached: socket.socket, owner: Pool) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: UpstreamConnection(loop, owner=owner, broken=self._broken),
                sock=reached,
                ssl=tls.context() if self._encrypted else None,
                server_hostname=self._place[0] if self._encrypted else None,
            )
        except BaseException:
            with contextlib.suppress(OSError):
                reached.close()
            raise
        return connection
