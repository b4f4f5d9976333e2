"""Names become addresses: remembered for a while, asked for once at a time, all of them tried."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway import errors
from gateway.upstream.addresses import Addresses
from tests.harness import FakeProvider, whole
from tests.upstream.asking import Client, ask, request, run, upstream_of

HOST = "provider.test"


def found(*hosts: str, port: int = 80) -> list[tuple[Any, ...]]:
    return [
        (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts
    ]


class Names:
    """A name server: each of `answers` in turn, the last one stays. An exception is raised."""

    def __init__(self, *answers: list[tuple[Any, ...]] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []
        self.slow = 0.0

    async def getaddrinfo(self, *place: Any, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(place)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.slow)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def use(self, monkeypatch: pytest.MonkeyPatch) -> Names:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.getaddrinfo, raising=False)
        return self


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


def plain(main: Any) -> None:
    asyncio.run(main())  # a loop whose methods a test can replace


def test_they_are_remembered_until_they_are_old(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    async def main() -> None:
        names = Names(found("127.0.0.1"), found("127.0.0.2")).use(monkeypatch)
        addresses = Addresses(30.0, lambda: clock[0])
        for at, host in ((0, 1), (29.9, 1), (30.0, 2), (59.9, 2)):
            clock[0] = 1000.0 + at
            assert [info[4][0] for info in await addresses.of(HOST, 80)] == [f"127.0.0.{host}"]
        assert names.asked == [(HOST, 80)] * 2
        assert [info[4] for info in await addresses.of(HOST, 81)] == [("127.0.0.2", 80)]
        assert names.asked[2:] == [(HOST, 81)]

    plain(main)


def test_without_a_time_they_are_asked_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        names = Names(found("127.0.0.1")).use(monkeypatch)
        addresses = Addresses(0.0)
        for _ in range(3):
            await addresses.of(HOST, 80)
        assert len(names.asked) == 3

    plain(main)


def test_they_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        Names(found("127.0.0.1", "127.0.0.2", "127.0.0.3")).use(monkeypatch)
        addresses = Addresses(30.0)
        firsts = []
        for _ in range(6):
            given = [info[4][0] for info in await addresses.of(HOST, 80)]
            assert sorted(given) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
            firsts.append(given[0][-1])
        assert "".join(firsts) == "123123"

    plain(main)


def test_who_asks_at_the_same_time_asks_once_and_who_leaves_ends_it_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        names = Names(found("127.0.0.1")).use(monkeypatch)
        names.slow = 0.05
        addresses = Addresses(30.0)
        asking = [asyncio.ensure_future(addresses.of(HOST, 80)) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert [len(each) for each in await asyncio.gather(*asking[1:])] == [1] * 4
        assert asking[0].cancelled()
        assert len(names.asked) == 1

    plain(main)


def test_a_failure_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        names = Names(socket.gaierror(-3, "later"), [], found("127.0.0.1")).use(monkeypatch)
        addresses = Addresses(30.0)
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011
                await addresses.of(HOST, 80)
        assert await addresses.of(HOST, 80)
        assert len(names.asked) == 3
        gone = asyncio.ensure_future(addresses.of("other.test", 80))
        await asyncio.sleep(0)
        gone.cancel()

    plain(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    async def main() -> None:
        names = Names(OSError()).use(monkeypatch)
        assert [info[4][:2] for info in await Addresses(30.0).of(host, 80)] == [(host, 80)]
        assert not names.asked

    plain(main)


def test_all_addresses_are_tried(client: Client, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        here = found("127.0.0.1", port=provider.port)
        closed = found("127.0.0.2", "127.0.0.3", port=1)
        Names(closed + here).use(monkeypatch)
        upstream = upstream_of(client)
        for _ in range(3):
            assert (await ask(upstream, request(f"http://{HOST}:{provider.port}/v1"))).body == b"x"
        await upstream.close()
        Names(closed).use(monkeypatch)
        upstream = upstream_of(client)
        outcome = await ask(upstream, request(f"http://{HOST}:{provider.port}/v1"))
        assert outcome.kind is errors.CONNECT_FAILED
        assert "p0 cannot be reached: " in str(outcome.error)
        await upstream.close()

    provider.answer(whole(b"x", headers={"connection": "close"}))
    plain(main)


def test_a_real_name_is_found(client: Client, provider: FakeProvider) -> None:
    async def main() -> None:
        upstream = upstream_of(client)
        assert (await ask(upstream, request(f"http://localhost:{provider.port}/v1"))).body == b"x"
        assert provider.seen[-1].headers["host"] == f"localhost:{provider.port}"
        await upstream.close()

    provider.answer(whole(b"x"))
    run(main)
