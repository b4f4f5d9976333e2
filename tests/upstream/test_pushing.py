"""A body on its way: pushed as it comes, held back by whoever takes it, given up at any moment."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable

import pytest

from gateway import errors
from gateway.deadlines import Clock
from gateway.upstream.aiohttp_client import AiohttpUpstream
from tests.harness import CLOSE, HANG, FakeProvider, Seen, chunked, whole
from tests.harness.fake_provider import Steps
from tests.upstream.asking import Client, Outcome, ask, request, run, until, upstream_of

MiB = 1 << 20
PART = b"0123456789abcdef" * 4096  # 64 KiB
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's; it is in memory anyway


class _Enough(Exception):
    pass


def test_every_part_is_given_out_as_it_comes(client: Client, provider: FakeProvider) -> None:
    async def main() -> Outcome:
        upstream = upstream_of(client)
        outcome = await ask(upstream, request(provider.url))
        await upstream.close()
        return outcome

    provider.answer([STREAM, *(0.02, b"3\r\nabc\r\n3\r\ndef\r\n") * 3, 0.02, b"0\r\n\r\n"])
    assert run(main).parts == [b"abcdef"] * 3  # one per read, whatever its chunks


def test_a_slow_taker_holds_the_server_back(client: Client, provider: FakeProvider) -> None:
    """What waits for it is bounded: by us, and by the kernel's buffers."""

    async def main() -> None:
        upstream = upstream_of(client)
        taken: list[bytes] = []
        free = asyncio.Event()

        async def pause() -> None:
            await free.wait()

        def feed(data: bytes) -> Awaitable[None] | None:
            taken.append(data)
            return None if free.is_set() else pause()

        asked = asyncio.ensure_future(ask(upstream, request(provider.url), feed))
        await until(lambda: taken)
        await asyncio.sleep(0.3)
        assert len(taken) == 1
        assert not provider.seen[-1].answered.is_set(), "64 MiB have left the server"
        free.set()
        outcome = await asked
        assert outcome.kind is None
        assert b"".join(taken) == PART * 1024
        await upstream.close()

    provider.answer(chunked([PART] * 1024))
    run(main)


def test_each_pause_is_waited_for_once_and_nothing_is_lost(client: Client, provider: FakeProvider) -> None:
    async def main() -> None:
        upstream = upstream_of(client)
        taken: list[bytes] = []
        inside = 0

        async def pause() -> None:
            nonlocal inside
            inside += 1
            assert inside == 1, "fed while it was behind"
            await asyncio.sleep(0)
            inside -= 1

        def feed(data: bytes) -> Awaitable[None] | None:
            assert not inside
            taken.append(data)
            return pause() if len(taken) % 2 else None

        outcome = await ask(upstream, request(provider.url), feed)
        assert (outcome.kind, b"".join(taken)) == (None, PART * 100)
        assert (await ask(upstream, request(provider.url))).body == b"x", "the connection reads on"
        assert provider.seen[-1].connection == provider.seen[-2].connection
        await upstream.close()

    provider.answer(whole(PART * 100), whole(b"x"))
    run(main)


def test_what_nobody_takes_yet_is_bounded(client: Client, provider: FakeProvider) -> None:
    async def main() -> None:
        upstream = upstream_of(client)
        response = await upstream.send(request(provider.url), lambda _: None)
        await asyncio.sleep(0.3)
        assert not provider.seen[-1].answered.is_set()
        taken: list[bytes] = []
        await response.push(taken.append)
        response.close()
        assert b"".join(taken) == PART * 1024
        await upstream.close()

    provider.answer(whole(PART * 1024))
    run(main)


@pytest.mark.parametrize("when", [0, 1, 3])
@pytest.mark.parametrize("problem", [_Enough, ConnectionResetError, StopIteration])
def test_what_the_taker_raises_ends_it_as_it_is(
    client: Client, provider: FakeProvider, when: int, problem: type[Exception]
) -> None:
    async def main() -> None:
        upstream = upstream_of(client)
        parts = 0

        def feed(_: bytes) -> None:
            nonlocal parts
            parts += 1
            if parts > when:
                raise problem

        response = await upstream.send(request(provider.url), lambda _: None)
        expected = RuntimeError if problem is StopIteration else problem  # as coroutines have it
        with pytest.raises(expected):
            await response.push(feed)
        response.close()
        assert parts == when + 1
        await until(provider.seen[-1].left.is_set)
        await upstream.close()

    provider.answer([STREAM, *(0.02, b"1\r\nx\r\n") * 20, HANG])
    run(main)


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("behind", [False, True])
def test_who_is_cancelled_while_it_comes_cuts_the_connection(
    client: Client, provider: FakeProvider, after: int, behind: bool
) -> None:
    """In the turn in which a part arrives, too: what was to be awaited then is not left lying about."""

    async def main() -> None:
        upstream = upstream_of(client, connections=1)
        parts = 0
        pushing: asyncio.Task[Outcome]

        async def pause() -> None:
            await asyncio.sleep(30)

        def feed(_: bytes) -> Awaitable[None] | None:
            nonlocal parts
            parts += 1
            if parts > after:
                pushing.cancel()
            return pause() if parts > after and behind else None

        pushing = asyncio.ensure_future(ask(upstream, request(provider.url), feed))
        await asyncio.wait([pushing])
        assert pushing.cancelled()
        await until(provider.seen[-1].left.is_set)
        provider.answer(whole(b"x"))
        assert (await ask(upstream, request(provider.url))).body == b"x"
        await upstream.close()

    provider.answer([STREAM, *(0.02, b"1\r\nx\r\n") * 20, HANG])
    run(main)


@pytest.mark.parametrize("steps", [whole(b"hello"), [*whole(b"hello"), CLOSE], chunked([b"hello"])])
def test_to_close_twice_gives_back_once(client: Client, provider: FakeProvider, steps: Steps) -> None:
    async def main() -> None:
        upstream = upstream_of(client, connections=1)
        for _ in range(3):
            response = await upstream.send(request(provider.url), lambda _: None)
            await response.push(lambda _: None)
            response.close()
            other = await upstream.send(request(provider.url), lambda _: None)
            response.close()
            taken: list[bytes] = []
            await other.push(taken.append)
            other.close()
            assert taken == [b"hello"]
        await upstream.close()

    provider.answer(steps)
    run(main)
    assert provider.open <= 1


@LARGE
@pytest.mark.parametrize("size", [10_000, 100_000, 8 * MiB])
def test_a_large_request_arrives_as_it_is(client: Client, provider: FakeProvider, size: int) -> None:
    async def main() -> None:
        upstream = upstream_of(client)
        for number in range(2):
            body = bytes([97 + number]) * size
            assert (await ask(upstream, request(provider.url, body))).body == b"x"
            assert provider.seen[-1].body == body
        await upstream.close()

    provider.answer(whole(b"x"))
    run(main)
    assert provider.seen[-1].connection == provider.seen[-2].connection


@LARGE
def test_an_answer_that_does_not_wait_for_the_request(client: Client) -> None:
    """It is given out, and the connection is not used again."""

    def refuse(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nhello")
                assert client_is_done.wait(10)
                client_is_done.clear()

    async def main(port: int) -> None:
        upstream = upstream_of(client)
        for _ in range(2):
            outcome = await ask(upstream, request(f"http://127.0.0.1:{port}/v1", b"x" * 32 * MiB))
            client_is_done.set()
            assert (outcome.kind, outcome.status, outcome.body) == (None, 413, b"hello")
            assert outcome.clocks[0] is Clock.CONNECT
        await upstream.close()

    client_is_done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,), daemon=True)
        thread.start()
        run(lambda: main(listener.getsockname()[1]))
        thread.join(10)


def test_a_provider_that_leaves_while_we_are_behind_is_known_afterwards(client: Client, provider: FakeProvider) -> None:
    async def main() -> Outcome:
        upstream = upstream_of(client)
        outcome = Outcome()

        async def pause() -> None:
            await until(provider.seen[-1].answered.is_set)
            await asyncio.sleep(0.05)

        def feed(data: bytes) -> Awaitable[None]:
            outcome.parts.append(data)
            return pause()

        outcome.error = (await ask(upstream, request(provider.url), feed)).error
        await upstream.close()
        return outcome

    def script(_: Seen) -> Steps:
        return [STREAM + b"3\r\nabc\r\n", 0.05, b"3\r\ndef\r\n", CLOSE]

    provider.answer(script)
    outcome = run(main)
    assert outcome.kind is errors.CONNECTION_LOST
    assert outcome.body == b"abcdef" or client is AiohttpUpstream  # which tells the end before what came before it
