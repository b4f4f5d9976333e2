"""Any server that speaks OpenAI's API, at an address of your own."""

from __future__ import annotations

from gateway.catalog import providers
from gateway.config import Endpoint, ProviderOptions
from gateway.contracts import Task, WireRequest
from gateway.dialects.openai_passthrough import Passthrough
from gateway.exchange import Call


class CustomOptions(ProviderOptions):
    """An address is a must; the key's header and further headers are whatever the server wants."""

    endpoint: Endpoint


@providers.register("custom")
class Custom:
    """vLLM, llama.cpp, LM Studio, a colleague's proxy: whatever answers below `endpoint`."""

    Options = CustomOptions
    tasks = frozenset(Task)

    def __init__(self, name: str, options: CustomOptions) -> None:
        self.name = name
        self._requests = Passthrough(options.endpoint, dict(options.header_lines()))

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        return self._requests.request(task, call, model)
