"""OpenAI in, OpenAI out: the request for an OpenAI-compatible provider, from the client's own bytes.

Of the client's headers none is passed on: what a provider is told about us stands in the configuration. So
the head of a request depends on its task alone, and on whether it streams: each is made once.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway import __version__
from gateway.contracts import Task, WireHead, WireRequest
from gateway.dialects.json_body import rewritten
from gateway.exchange import Call

OURS = {
    "content-type": "application/json",
    "accept-encoding": "identity",  # what we cannot read we can neither watch nor account for
    "user-agent": f"llm-gateway/{__version__}",
}
ACCEPT = {False: "application/json", True: "text/event-stream"}


class Passthrough:
    """`endpoint` is the provider's root, without a final slash; `headers` carry its authentication."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        self._heads = {
            (task, stream): WireHead("POST", f"{endpoint}/{task.value}", {**OURS, "accept": accept, **headers})
            for task in Task
            for stream, accept in ACCEPT.items()
        }

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        return WireRequest(self._heads[task, call.stream], rewritten(call, model=model, ask_usage=call.stream))
