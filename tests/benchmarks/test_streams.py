"""Streams count only when they are whole: paced ones and bursts, against an upstream that may tear them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from benchmarks import bodies, mock_upstream, streams, throughput, wrk
from benchmarks.measures import Settings
from benchmarks.programs import Missing, Way
from benchmarks.settings_files import Ports
from benchmarks.streams import Flow, Streams

SETTINGS = Settings(seconds=0.5, streams=4, events=10, interval_ms=5)
WHOLE = mock_upstream.burst(7)


class Forgetful(asyncio.Protocol):
    """Answers everything with a stream that lacks one event."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(mock_upstream.burst(6))


class Torn(Forgetful):
    """Goes in the middle of a stream."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(WHOLE[:-9])
        self.transport.close()


class Endless(Forgetful):
    """Begins, and then thinks about it."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(mock_upstream.HEAD + mock_upstream.CHUNK)


class Refusing(Forgetful):
    """Has another answer."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(WHOLE.replace(b"200 OK", b"503 No", 1))


@contextlib.asynccontextmanager
async def upstream(protocol: type[asyncio.Protocol]) -> AsyncIterator[Way]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Way("direct", os.getpid(), Ports(port, port, port))
    finally:
        server.close()


def paced(protocol: type[asyncio.Protocol], settings: Settings = SETTINGS) -> Flow:
    async def ask() -> Flow:
        async with upstream(protocol) as way:
            return await Streams(way, settings).run()

    return asyncio.run(ask())


def test_events_are_counted_while_all_streams_run_and_every_stream_is_whole() -> None:
    outcome = paced(mock_upstream.MockUpstream)
    assert 10 * 4 <= outcome.events < 10 * outcome.ended
    assert 4 <= len(outcome.first) < outcome.ended
    assert all(0 < seconds < 5 for seconds in outcome.first)
    assert outcome.torn == []
    figures = streams.figures(outcome)
    assert figures["p50"] <= figures["p99"]
    assert figures["each"] == pytest.approx(outcome.cpu_seconds * 1e6 / outcome.events)


@pytest.mark.parametrize(
    ("protocol", "seen"), [(Forgetful, r"\(200, 9\)"), (Torn, r"\(200, \d\)"), (Refusing, r"\(503, 10\)")]
)
def test_streams_that_are_not_whole_have_no_number(protocol: type[asyncio.Protocol], seen: str) -> None:
    with pytest.raises(Missing, match=rf"\d torn and 0 without an end.*{seen}.*wanted 10: no number"):
        paced(protocol)


def test_a_stream_without_an_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CEILING", 0.2)
    with pytest.raises(Missing, match="4 without an end"):
        paced(Endless)


@pytest.mark.parametrize("protocol", [mock_upstream.MockUpstream, Forgetful, Torn, Refusing])
def test_a_burst_is_looked_at_before_it_counts(protocol: type[asyncio.Protocol]) -> None:
    async def ask() -> None:
        async with upstream(protocol) as way:
            work = wrk.Work(way.ports.stream, bodies.stream(10, 0), bodies.SDK_HEADERS, connections=1)
            await throughput.whole_streams(work, 10)

    if protocol is mock_upstream.MockUpstream:
        asyncio.run(ask())
    else:
        with pytest.raises(Missing, match="8 of 8 streams torn"):
            asyncio.run(ask())
