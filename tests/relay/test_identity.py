"""A client gets the upstream's bytes, however they were split; what may differ is the table in exceptions.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.harness import FakeProvider, Gateway, chunked, config_for
from tests.relay.chat import DONE, HELLO, ROLE, STOP, USAGE, chunk, event
from tests.relay.exceptions import EXCEPTIONS, IDENTICAL, Row
from tests.relay.stage import Answer, Scene, on_stage

LINE_ENDS = {"LF": b"\n", "CR LF": b"\r\n", "CR": b"\r"}
MARK = b"\xef\xbb\xbf"


def lively(end: bytes, words: int = 9) -> bytes:
    """All there is in the grammar, in one sound stream."""
    head = MARK + b": a comment" + end * 2 + b"retry: 10" + end + b"id: 7" + end * 2
    over_lines = (
        b"event: message" + end + b'data:{"choices":' + end + b": within" + end + b'data: [{"index":0,"delta":'
        + end + b'data:{"content":"over lines"}}]}' + end * 4
    )  # fmt: skip
    said = b"".join(event(chunk(f"wörd {number} 🜁 "), end) for number in range(words))
    return head + event(chunk(role="assistant"), end) + over_lines + said + event(chunk(finish="stop"), end)


async def relayed(parts: Sequence[bytes | float], *, wants_usage: bool = False, **limits: Any) -> bytes:
    scene = Scene(Answer(parts), **limits)
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    client = await scene.play(sum(part for part in parts if isinstance(part, float)), **options)
    assert client.status == 200
    return client.data


def cut(stream: bytes, *places: int) -> list[bytes]:
    return [stream[start:stop] for start, stop in pairwise([0, *sorted(places), len(stream)])]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


@pytest.mark.parametrize("usage", [b"", USAGE], ids=["", "usage"])
@pytest.mark.parametrize("end", LINE_ENDS)
@on_stage
async def test_every_split_of_a_body_up_to_4_kib(end: str, usage: bytes) -> None:
    line = LINE_ENDS[end]
    stream, done = lively(line), event(b"[DONE]", line)
    body = stream + usage.replace(b"\n", line) + done
    assert 1000 < len(body) <= 4096
    for place in range(len(body) + 1):
        assert await relayed(cut(body, place)) == stream + done, place
    assert await relayed(bytewise(body)) == stream + done


@on_stage
async def test_every_two_splits_of_a_small_body() -> None:
    body = MARK + b'data:{"choices":[{"delta":{"content":"\xc3\xa9"}}]}\r\n\r\ndata: [DONE]\r\r'
    for first in range(len(body)):
        for second in range(first, len(body)):
            assert await relayed(cut(body, first, second)) == body, (first, second)


@pytest.mark.parametrize("end", LINE_ENDS)
@on_stage
async def test_larger_bodies_byte_by_byte_and_at_50_seeded_cuts(end: str) -> None:
    line = LINE_ENDS[end]
    stream, done = lively(line, words=600), event(b"[DONE]", line)
    body = stream + USAGE.replace(b"\n", line) + done
    assert len(body) > 40_000
    assert await relayed(bytewise(body)) == stream + done
    random_ = random.Random(41)
    for _ in range(50):
        places = [random_.randrange(len(body)) for _ in range(random_.randrange(1, 60))]
        assert await relayed(cut(body, *places)) == stream + done, sorted(places)


@pytest.mark.parametrize("end", LINE_ENDS)
@on_stage
async def test_an_event_of_8_mib(end: str) -> None:
    line = LINE_ENDS[end]
    large = event(chunk("x" * (8 << 20)), line)
    body = event(chunk("a"), line) + large + event(chunk(finish="stop"), line) + event(b"[DONE]", line)
    random_ = random.Random(8)
    for pieces in (1, 30, 300):
        places = [random_.randrange(len(body)) for _ in range(pieces)]
        assert await relayed(cut(body, *places)) == body


@pytest.mark.parametrize("row", [*EXCEPTIONS, *IDENTICAL], ids=lambda row: row.name)
@on_stage
async def test_the_table_of_exceptions(row: Row) -> None:
    options: dict[str, Any] = {
        "wants_usage": row.wants_usage,
        "drop_malformed": row.drop_malformed,
        "keepalive_after": 1.0,
    }
    assert await relayed(row.upstream, **options) == row.client
    if all(isinstance(part, bytes) for part in row.upstream):
        (body,) = row.upstream
        assert isinstance(body, bytes)
        for place in range(len(body) + 1):
            assert await relayed(cut(body, place), **options) == row.client, place


def test_the_table_holds_what_its_halves_say() -> None:
    assert all(row.client == b"".join(part for part in row.upstream if isinstance(part, bytes)) for row in IDENTICAL)
    assert all(row.client != b"".join(part for part in row.upstream if isinstance(part, bytes)) for row in EXCEPTIONS)


def test_through_a_real_process(lane: str) -> None:
    large = event(chunk("x" * (8 << 20)))
    lengths = random.Random(3)
    with FakeProvider() as provider, Gateway(config_for(provider.url), lane=lane) as gateway:
        for body in (
            ROLE + HELLO + large + STOP + DONE,
            *(lively(end, 300) + event(b"[DONE]", end) for end in LINE_ENDS.values()),
        ):
            provider.answer(chunked(cut(body, *(lengths.randrange(len(body)) for _ in range(40)))))
            answer = gateway.chat(stream=True)
            assert answer.status_code == 200
            assert answer.content == body
        provider.answer([b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body, "close"])
        assert gateway.chat(stream=True).content == body
