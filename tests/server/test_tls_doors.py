"""Sockets on which TLS is spoken: from when on, by which certificate, and by whom not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.config import Tls
from gateway.server.doors import Doors
from gateway.server.handshakes import context_of
from gateway.server.listeners import Listener
from gateway.server.settings import Address
from tests.harness.certificates import Authority, Pair
from tests.server.raw import Wire

LOCAL = Address("127.0.0.1:0", "127.0.0.1", 0)
Open = Callable[[int], Listener]


@pytest.fixture
def listen() -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda workers: stack.enter_context(closing(Listener(LOCAL, workers)))


def tls_of(pair: Pair) -> Tls:
    return Tls.model_validate({"certificate": pair.certificate.read_text(), "key": pair.key.read_text()})


def test_what_is_spoken_changes_and_the_sockets_stay(listen: Open) -> None:
    listener = listen(2)
    before = dict(listener.sockets)
    listener.becomes(LOCAL)
    assert listener.sockets == before
    listener.becomes(LOCAL._replace(text="tls:127.0.0.1:0", tls=True))
    assert listener.where == f"tls:127.0.0.1:{listener.port}"
    assert list(listener.sockets.values()) == list(before.values())
    assert listener.former == before.keys()
    assert not before.keys() & listener.sockets.keys()


def test_no_door_speaks_plainly_that_should_speak_tls(listen: Open, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that could not adopt the certificate."""
    listener = listen(1)
    ((number, held),) = listener.sockets.items()

    async def serve() -> None:
        doors = Doors(asyncio.Protocol)
        await doors.open(number, os.dup(held.fileno()), tls=True)
        assert doors.numbers == []

    asyncio.run(serve())
    assert "no certificate" in caplog.text


def test_a_door_is_opened_anew_for_another_certificate(listen: Open, tmp_path: Path) -> None:
    """Not for the same one, and not for none. One that is being closed is closed all the same."""
    listener = listen(2)
    tls = tls_of(Authority(tmp_path).issue())
    first, second = context_of(tls), context_of(tls)

    async def serve() -> None:
        doors = Doors(asyncio.Protocol, first)
        for number, each in listener.sockets.items():
            await doors.open(number, os.dup(each.fileno()), tls=True)
        one, other = doors._open.values()
        await doors.speak(first)
        await doors.speak(None)
        assert [*doors._open.values()] == [one, other]
        finishing = asyncio.create_task(doors.finish(doors.numbers[:1]))
        await asyncio.sleep(0)
        await doors.speak(second)
        anew = [*doors._open.values()]
        assert not {one, other} & {*anew}
        await finishing
        assert [*doors._open.values()] == anew[1:]
        assert [door.server.is_serving() for door in (one, other, *anew)] == [False, False, False, True]
        doors.leave()

    asyncio.run(serve())


class SaysMuchAndCloses(asyncio.Protocol):
    """All at once, as the lanes never would: nothing has been taken when the connection is closed."""

    SIZE = 16 << 20  # more than the kernel holds

    def connection_made(self, transport: Any) -> None:
        transport.write(bytes(self.SIZE))
        transport.close()


def test_what_was_written_arrives_although_the_connection_was_closed_long_ago(listen: Open, tmp_path: Path) -> None:
    listener = listen(1)
    ((number, held),) = listener.sockets.items()
    authority = Authority(tmp_path)

    def takes_its_time() -> int:
        with Wire(listener.port, tls=authority.trusted()) as wire:
            time.sleep(3)
            return len(wire.rest())  # an end without a goodbye raises

    async def serve() -> int:
        doors = Doors(SaysMuchAndCloses, context_of(tls_of(authority.issue())))
        await doors.open(number, os.dup(held.fileno()), tls=True)
        try:
            return await asyncio.to_thread(takes_its_time)
        finally:
            doors.leave()

    assert uvloop.run(serve()) == SaysMuchAndCloses.SIZE
