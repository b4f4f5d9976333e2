"""What one event, one read and one request body cost in the compiled core, beside the twin in Python and orjson alone.

Run: python -m pytest benchmarks/micro --benchmark-columns=min,median,ops
The scanner's own cost is `feed` less `orjson`: the check of the JSON is most of it.
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gateway import _fast
from tests._fast import twins
from tests._fast.streams import CONTENT

EVENT = (
    b'data: {"id":"chatcmpl-B9hZ0pQ2Xk4aLm8Rr5tVw1yCc7dEe","object":"chat.completion.chunk","created":1741569952,'
    b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_06737a9306",'
    b'"choices":[{"index":0,"delta":{"content":" words"},"logprobs":null,"finish_reason":null}]}\n\n'
)
READ = EVENT * 50
MODULES = pytest.mark.parametrize("module", [_fast, twins], ids=["compiled", "python"])


def body(size: int) -> bytes:
    """A chat request of about `size` bytes, in several messages."""
    words = 'What is the "answer"?\n' * 10
    fields: dict[str, Any] = {"model": "smart", "temperature": 0.7, "max_tokens": 256, "stream": True}
    messages = [{"role": "user", "content": words[: size // 2]}]
    while len(json.dumps({**fields, "messages": messages})) + len(words) < size:
        messages += [{"role": "user", "content": words}] * max(1, len(messages) // 2)
    return json.dumps({**fields, "messages": messages}).encode()


def test_orjson_alone(benchmark: BenchmarkFixture) -> None:
    benchmark(orjson.loads, EVENT[6:-2])


@MODULES
def test_feed_of_one_event(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    scanner = module.SseScanner(content=CONTENT)
    assert benchmark(scanner.feed, EVENT) == EVENT


@MODULES
def test_feed_of_a_read_of_50_events(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    scanner = module.SseScanner(content=CONTENT)
    assert benchmark(scanner.feed, READ) == READ


@MODULES
def test_feed_of_50_events_cut_in_the_middle(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    scanner = module.SseScanner(content=CONTENT)
    middle = len(READ) // 2 + 77

    def both() -> int:
        return len(scanner.feed(READ[:middle])) + len(scanner.feed(READ[middle:]))

    assert benchmark(both) == len(READ)


@MODULES
def test_a_new_scanner(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    benchmark(module.SseScanner, content=CONTENT)


@MODULES
@pytest.mark.parametrize("size", [600, 1 << 20], ids=["600 B", "1 MiB"])
def test_top_level(benchmark: BenchmarkFixture, module: ModuleType, size: int) -> None:
    request = body(size)
    benchmark.extra_info["bytes"] = len(request)
    assert next(iter(benchmark(module.top_level, request))) == "model"
