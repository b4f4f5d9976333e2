"""OpenAI in, OpenAI out: the request for an OpenAI-compatible provider, from the client's own bytes.

Of the client's headers none is passed on: what a provider is told about us stands in the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway import __version__
from gateway.contracts import Task, WireRequest
from gateway.dialects.json_body import rewritten
from gateway.exchange import Call

OURS = {
    "content-type": "application/json",
    "accept-encoding": "identity",  # what we cannot read we can neither watch nor account for
    "user-agent": f"llm-gateway/{__version__}",
}


def passthrough(task: Task, call: Call, *, endpoint: str, model: str, headers: Mapping[str, str]) -> WireRequest:
    """`endpoint` is the provider's root, without a final slash; `headers` carry its authentication."""
    accept = "text/event-stream" if call.stream else "application/json"
    return WireRequest(
        method="POST",
        url=f"{endpoint}/{task.value}",
        headers={**OURS, "accept": accept, **headers},
        body=rewritten(call, model=model, ask_usage=call.stream),
    )
