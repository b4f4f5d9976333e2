"""The benchmark's own client, upstream and requests are right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import cast

import openai
import pytest

from benchmarks import bodies, mock_upstream
from benchmarks.client import Client, connect


def test_a_chat_request_has_600_bytes() -> None:
    assert len(bodies.chat("whole")) == len(bodies.stream(200, 20)) == bodies.BODY_BYTES


def test_the_sdk_head_is_the_official_sdks() -> None:
    """The names of the headers, as the installed openai package sends them."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                heads.append(client.recv(65536))
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1") as sdk:
            sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        thread.join(10)

    def names(request: bytes) -> set[str]:
        return {line.split(":")[0].lower() for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]}

    ours = names(bodies.request(1, b"{}", bodies.SDK_HEADERS))
    assert ours == names(heads[0])
    assert len(ours) == 17


class Wire:
    """A transport that only remembers."""

    def write(self, data: bytes) -> None:
        self.sent = data


def fed(answer: bytes, size: int) -> tuple[Client, list[Client]]:
    finished: list[Client] = []
    client = Client(finished.append)
    client.connection_made(cast(asyncio.Transport, Wire()))
    client.send(b"request", 0.0)
    for start in range(0, len(answer), size):
        client.data_received(answer[start : start + size])
    return client, finished


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
STREAM = mock_upstream.burst(3)


@pytest.mark.parametrize(("answer", "events"), [(WHOLE, 0), (STREAM, 6)])
def test_the_client_reads_answers_however_they_are_cut(answer: bytes, events: int) -> None:
    for size in range(1, len(answer) + 1):
        client, finished = fed(answer, size)
        assert (len(finished), client.status, client.events, client.broken) == (1, 200, events, False), size
        assert client.ended_at >= client.first_at > 0


def test_a_torn_answer_is_broken_once() -> None:
    client, finished = fed(STREAM[:-1], 50)
    assert not finished
    client.connection_lost(None)
    assert (len(finished), client.broken) == (1, True)


def test_the_mock_upstream_streams_what_was_asked_for_again_and_again_on_one_connection() -> None:
    """Paced, all at once, and after a large body, which is read and answered whole."""
    seen: list[tuple[int, int]] = []

    async def ask() -> None:
        async with upstream() as port:
            done = asyncio.Event()

            def finished(client: Client) -> None:
                seen.append((client.status, client.events))
                done.set()

            (client,) = await connect(port, 1, finished)
            for body in (bodies.stream(4, 1), bodies.stream(50, 0), bodies.large(1), bodies.stream(8, 2)):
                done.clear()
                client.send(bodies.request(port, body, bodies.BARE_HEADERS), 0.0)
                await asyncio.wait_for(done.wait(), 10)
            assert client.events_in_all == 62
            client.close()

    asyncio.run(ask())
    assert seen == [(200, 4), (200, 50), (200, 0), (200, 8)]


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(mock_upstream.MockUpstream, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_the_payload_of_a_stream_is_what_is_left_without_its_frames() -> None:
    client, _ = fed(STREAM, len(STREAM))
    events = [b"data:" + event for event in STREAM.partition(b"\r\n\r\n")[2].split(b"data:")[1:]]
    assert client.events == len(events) == 6
    assert mock_upstream.payload(6) == sum(len(event.partition(b"\n\n")[0]) + 2 for event in events)


def test_a_large_body_is_json_of_exactly_that_size() -> None:
    body = bodies.large(1)
    assert len(body) == 1 << 20
    assert json.loads(body)["model"] == "body"
