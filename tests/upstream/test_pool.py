"""How many connections there are, which one is used, how long it is kept, and who waits for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway import errors
from gateway._fast import UpstreamConnection
from gateway.deadlines import Clock
from gateway.errors import GatewayError
from gateway.upstream.addresses import Addresses
from gateway.upstream.dialing import Dialing
from gateway.upstream.fast_client import FastUpstream
from gateway.upstream.pool import Pool
from tests.harness import CLOSE, HANG, RESET, FakeProvider, Seen, whole
from tests.harness.fake_provider import Steps
from tests.upstream.asking import Client, Outcome, ask, request, run, until, upstream_of

ENDS = {"closed": [CLOSE], "reset": [RESET]}
MADE = [Clock.CONNECT, Clock.FIRST_CONTENT]


def test_a_connection_is_used_again_the_last_one_first(client: Client, provider: FakeProvider) -> None:
    async def main() -> list[list[Clock]]:
        upstream = upstream_of(client)
        both = [ask(upstream, request(provider.url)) for _ in range(2)]
        outcomes = [*await asyncio.gather(*both)]
        latest = provider.seen[-1].connection
        for _ in range(3):
            outcomes.append(await ask(upstream, request(provider.url)))
            if client is FastUpstream:
                assert provider.seen[-1].connection == provider.seen[-2].connection
        assert latest in {seen.connection for seen in provider.seen[before:]}
        await upstream.close()
        return [outcome.clocks for outcome in outcomes]

    provider.answer([0.02, *whole(b"x")])
    before, connections = len(provider.seen), provider.connections
    assert run(main) == [MADE, MADE, *[[Clock.FIRST_CONTENT]] * 3]
    assert provider.connections == connections + 2


@pytest.mark.parametrize("connections", [1, 3])
def test_never_more_than_may_be_and_those_who_wait_come_in_order(
    client: Client, provider: FakeProvider, connections: int
) -> None:
    async def main() -> list[Outcome]:
        upstream = upstream_of(client, connections=connections)
        asked = [ask(upstream, request(provider.url, b"%d" % number)) for number in range(12)]
        outcomes = await asyncio.gather(*asked)
        await upstream.close()
        return outcomes

    most = 0

    def script(_: Seen) -> Steps:
        nonlocal most
        most = max(most, provider.open)
        return [0.01, *whole(b"x")]

    provider.answer(script)
    before = len(provider.seen)
    outcomes = run(main)
    assert most == connections
    assert [outcome.clocks[0] for outcome in outcomes] == [Clock.CONNECT] * connections + [Clock.QUEUE] * (
        12 - connections
    )
    assert all(outcome.clocks[-1] is Clock.FIRST_CONTENT for outcome in outcomes)
    if connections == 1:
        assert [seen.body for seen in provider.seen[before:]] == [b"%d" % number for number in range(12)]


def test_no_limit(client: Client, provider: FakeProvider) -> None:
    async def main() -> None:
        upstream = upstream_of(client, connections=0)
        outcomes = await asyncio.gather(*(ask(upstream, request(provider.url)) for _ in range(150)))
        assert {outcome.clocks[0] for outcome in outcomes} == {Clock.CONNECT}
        await upstream.close()

    provider.answer([0.3, *whole(b"x")])
    run(main)


@pytest.mark.parametrize("answer", [whole(b"x"), [*whole(b"x"), CLOSE], [CLOSE]])
@pytest.mark.parametrize("again", [False, True])
def test_a_waiter_that_is_cancelled_when_its_turn_comes_gives_it_on(
    client: Client, provider: FakeProvider, answer: Steps, again: bool
) -> None:
    """Whatever the turn brings, a connection or the place for one, and whether or not others wait."""

    async def main() -> None:
        upstream = upstream_of(client, connections=1)
        first = asyncio.ensure_future(ask(upstream, request(provider.url)))
        await until(lambda: len(provider.seen) > before)
        waiting = Outcome()
        second = asyncio.ensure_future(upstream.send(request(provider.url), waiting.clocks.append))
        others = [asyncio.ensure_future(ask(upstream, request(provider.url))) for _ in range(2 if again else 0)]
        await until(lambda: waiting.clocks == [Clock.QUEUE])
        first.add_done_callback(lambda _: second.cancel())  # in the very turn in which it is woken
        await asyncio.wait([first, second])
        assert second.cancelled()
        provider.answer(whole(b"x"))
        for other in others:
            assert (await other).body == b"x"
        assert (await ask(upstream, request(provider.url))).body == b"x"
        await upstream.close()

    before = len(provider.seen)
    provider.answer([0.02, *answer], whole(b"x"))
    run(main)


def test_who_waits_and_goes_takes_no_place_along(client: Client, provider: FakeProvider) -> None:
    async def main() -> None:
        upstream = upstream_of(client, connections=1)
        first = asyncio.ensure_future(ask(upstream, request(provider.url)))
        await until(lambda: len(provider.seen) > before)
        gone = [asyncio.ensure_future(ask(upstream, request(provider.url))) for _ in range(3)]
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        await asyncio.wait(gone)
        assert (await first).body == b"x"
        assert (await ask(upstream, request(provider.url))).clocks == [Clock.FIRST_CONTENT]
        await upstream.close()

    before = len(provider.seen)
    provider.answer([0.05, *whole(b"x")], whole(b"x"))
    run(main)


@pytest.mark.parametrize("phase", ["connecting", "asking", "answering"])
def test_a_cancelled_request_leaves_no_connection_and_no_place(
    client: Client, provider: FakeProvider, phase: str
) -> None:
    async def main() -> None:
        upstream = upstream_of(client, connections=1)
        for _ in range(5):
            outcome = Outcome()
            seen = len(provider.seen)
            asked = asyncio.ensure_future(ask(upstream, request(provider.url), outcome.parts.append))
            if phase == "asking":
                await until(lambda seen=seen: len(provider.seen) > seen)  # type: ignore[misc]
            elif phase == "answering":
                await until(lambda outcome=outcome: outcome.parts)  # type: ignore[misc]
            else:
                await asyncio.sleep(0.0)
            asked.cancel()
            await asyncio.wait([asked])
            assert asked.cancelled()
        await until(lambda: provider.open == 0)
        provider.answer(whole(b"x"))
        assert (await ask(upstream, request(provider.url))).clocks == MADE
        await upstream.close()

    provider.answer([HANG] if phase != "answering" else [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", HANG])
    run(main)


def test_what_is_kept_is_closed_in_the_end(client: Client, provider: FakeProvider) -> None:
    async def main() -> None:
        upstream = upstream_of(client, keep_alive=0.3)
        await asyncio.gather(*(ask(upstream, request(provider.url)) for _ in range(3)))
        assert provider.open == 3
        await until(lambda: provider.open == 0)
        assert (await ask(upstream, request(provider.url))).clocks == MADE
        await upstream.close()
        await until(lambda: provider.open == 0)

    provider.answer([0.02, *whole(b"x")])
    run(main)


@pytest.mark.parametrize(("keep_alive", "said"), [(0.0, ""), (60.0, "timeout=0"), (60.0, "max=5, TIMEOUT=0")])
@pytest.mark.parametrize("lane", ["fast"], indirect=True)  # aiohttp does not hear it
def test_what_may_not_be_kept_is_closed_at_once(
    client: Client, provider: FakeProvider, keep_alive: float, said: str
) -> None:
    async def main() -> None:
        upstream = upstream_of(client, keep_alive=keep_alive)
        for _ in range(2):
            assert (await ask(upstream, request(provider.url))).clocks == MADE
        await until(lambda: provider.open == 0)

    provider.answer(whole(b"x", headers={"keep-alive": said} if said else {}))
    run(main)


@pytest.mark.parametrize("end", ENDS)
def test_a_kept_connection_that_ends_is_gone_at_once(client: Client, provider: FakeProvider, end: str) -> None:
    async def main() -> None:
        upstream = upstream_of(client, connections=2)
        for _ in range(3):
            assert (await ask(upstream, request(provider.url))).clocks == MADE
            await until(provider.seen[-1].answered.is_set)
            await until(lambda: provider.open == 0)
            await asyncio.sleep(0.02)  # for the end to arrive here
        await upstream.close()

    provider.answer([*whole(b"x"), 0.02, *ENDS[end]])
    run(main)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("lane", ["fast"], indirect=True)  # aiohttp has another pool for it
def test_once_more_keeps_the_place_it_had(client: Client, provider: FakeProvider, end: str) -> None:
    """The request that found its connection dead goes before those that wait, and there is still one connection."""

    async def main() -> None:
        upstream = upstream_of(client, connections=1)
        await ask(upstream, request(provider.url, b"first"))
        provider.answer([0.05, *ENDS[end]], once_more)
        both = [ask(upstream, request(provider.url, body)) for body in (b"again", b"other")]
        assert [(outcome.kind, outcome.body) for outcome in await asyncio.gather(*both)] == [(None, b"x")] * 2
        await upstream.close()

    def once_more(seen: Seen) -> Steps:
        order.append(seen.body)
        return [0.1, *(whole(b"x") if provider.open == 1 else whole(b"too many"))]

    order: list[bytes] = []
    provider.answer(whole(b"x"))
    run(main)
    assert order == [b"again", b"other"]


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("begun", [b"", b"H", b"HTTP/1.1 200 OK\r\nx: y"])
def test_what_may_have_been_answered_is_not_asked_again(
    client: Client, provider: FakeProvider, used: bool, begun: bytes
) -> None:
    """Only a used connection that ended without a word is: then nobody had read the request."""

    async def main() -> Outcome:
        upstream = upstream_of(client)
        if used:
            await ask(upstream, request(provider.url, b"before"))
        provider.answer([begun, CLOSE] if begun else [CLOSE], whole(b"x"))
        outcome = await ask(upstream, request(provider.url))
        await upstream.close()
        return outcome

    provider.answer(whole(b"x"))
    before = len(provider.seen)
    again = used and not begun
    assert run(main).kind is (None if again else errors.CONNECTION_LOST)
    assert len(provider.seen) == before + 1 + used + again


def test_a_second_dead_connection_is_an_error(client: Client, provider: FakeProvider) -> None:
    async def main() -> Outcome:
        upstream = upstream_of(client)
        await ask(upstream, request(provider.url))
        provider.answer([CLOSE])
        outcome = await ask(upstream, request(provider.url))
        await upstream.close()
        return outcome

    provider.answer(whole(b"x"))
    before = len(provider.seen)
    assert run(main).kind is errors.CONNECTION_LOST
    assert len(provider.seen) == before + 3


@pytest.mark.parametrize("speaks", [True, False])
def test_a_connection_that_dies_while_it_is_made_is_the_providers_and_gives_its_place_back_once(speaks: bool) -> None:
    """Whoever asks is told so, and whoever leaves at any moment takes no place and gives none away twice."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if speaks:
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
            await asyncio.sleep(0.01)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        for turns in range(40):
            dialing = Dialing("p", host, port, Addresses(30), encrypted=False)
            pool = Pool(dialing.connection, limit=1, keep_alive=60)
            asked = asyncio.create_task(pool.wait(lambda _: None))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            for outcome in await asyncio.gather(asked, return_exceptions=True):
                if isinstance(outcome, UpstreamConnection):
                    outcome.close()
                else:
                    assert isinstance(outcome, asyncio.CancelledError | GatewayError)
            await asyncio.sleep(0.005)
            assert pool._places == 0
        for _ in range(20):
            upstream = upstream_of(FastUpstream)
            answer = await ask(upstream, request(f"http://{host}:{port}/"))
            assert answer.kind in (None, errors.CONNECTION_LOST)
            await upstream.close()
        await asyncio.sleep(0.1)  # the server's side ends, too
        server.close()
        await server.wait_closed()

    run(main)
