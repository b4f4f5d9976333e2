"""The official SDK, as it comes from PyPI, against a real process: each test runs with its sync and its async client.

`Sdk` makes the two look alike to a test: `get` waits for a value, `all` for a stream, `using` for a context.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from tests.harness import FakeProvider, Gateway, config_for

TEXT = "the quick brown fox, jumps!"
HELLO: list[Any] = [{"role": "user", "content": TEXT}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "days", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Sdk:
    """One client, sync or async, behind one face."""

    def __init__(self, client: Any, runner: asyncio.Runner) -> None:
        self.client = client
        self._runner = runner

    def get(self, value: Any) -> Any:
        """The value, or what the awaitable gives."""
        if not inspect.isawaitable(value):
            return value

        async def awaited() -> Any:
            return await value

        return self._runner.run(awaited())

    def all(self, stream: Any) -> list[Any]:
        """Everything that a stream brings; an error in it is raised."""
        if not hasattr(stream, "__aiter__"):
            return list(stream)

        async def collected() -> list[Any]:
            return [item async for item in stream]

        return self._runner.run(collected())

    def next(self, stream: Any) -> Any:
        """The stream's next item."""
        return next(stream) if hasattr(stream, "__next__") else self.get(stream.__anext__())

    @contextmanager
    def using(self, context: Any) -> Iterator[Any]:
        if hasattr(context, "__enter__"):
            with context as value:
                yield value
            return
        value = self.get(context.__aenter__())
        try:
            yield value
        finally:
            self.get(context.__aexit__(None, None, None))

    def with_options(self, **options: Any) -> Sdk:
        return Sdk(self.client.with_options(**options), self._runner)


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider, lane: str) -> Iterator[Gateway]:
    echo = {"type": "echo", "models": {"echo": {}, "org/echo": {}}}
    config = config_for(provider.url, providers={"echo": echo}, server={"max_body": "64KiB"})
    with Gateway(config, lane=lane) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Sdk]:
    kind = openai.OpenAI if request.param == "sync" else openai.AsyncOpenAI
    with asyncio.Runner() as runner:
        client = kind(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0, timeout=60)
        sdk = Sdk(client, runner)
        yield sdk
        sdk.get(client.close())
