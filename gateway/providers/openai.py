"""OpenAI."""

from __future__ import annotations

from gateway.catalog import providers
from gateway.config import ProviderOptions
from gateway.contracts import Task, WireRequest
from gateway.dialects.openai_passthrough import Passthrough
from gateway.exchange import Call

ADDRESS = "https://api.openai.com/v1"


@providers.register("openai")
class OpenAI:
    """OpenAI's own API; `endpoint` may name a proxy in front of it."""

    tasks = frozenset(Task)

    def __init__(self, name: str, options: ProviderOptions) -> None:
        self.name = name
        self._requests = Passthrough(options.endpoint or ADDRESS, dict(options.header_lines()))

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        return self._requests.request(task, call, model)
