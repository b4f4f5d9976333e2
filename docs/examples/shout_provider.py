"""A provider of your own: an OpenAI-compatible server that wants everything shouted at it.

providers:
  loud:
    type: shout_provider:Shout      # or the name of an entry point, see extending.md
    endpoint: http://10.0.0.5:8000/v1
    volume: 2
    models: {llama: {}}
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.config import Endpoint, ProviderOptions
from gateway.contracts import Task, WireRequest
from gateway.dialects.openai_passthrough import Passthrough
from gateway.exchange import Call


class ShoutOptions(ProviderOptions):
    """Every provider has `endpoint`, `auth`, `timeouts`, …; these are ours, checked like the rest."""

    endpoint: Endpoint  # a must here
    volume: Annotated[int, Field(ge=1, le=11)] = 1


class Shout:
    """Chats only. No I/O: a provider turns a call into a request, the gateway sends it."""

    Options = ShoutOptions
    tasks = frozenset({Task.CHAT})

    def __init__(self, name: str, options: ShoutOptions) -> None:
        self.name = name
        headers = {**dict(options.header_lines()), "X-Volume": str(options.volume)}
        self._requests = Passthrough(options.endpoint, headers)

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        return self._requests.request(task, call, model.upper())
