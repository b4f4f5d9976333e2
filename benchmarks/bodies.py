"""What is sent and answered: 600-byte chat bodies and large ones, the official SDK's head and wrk's bare one."""

from __future__ import annotations

import json

PATH = "/v1/chat/completions"
BODY_BYTES = 600

# what the openai package sends besides Host and Content-Length, in its order (a test compares names)
SDK_HEADERS = {
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "Authorization": "Bearer sk-benchmark",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "OpenAI/Python 3.52.0",
    "X-Stainless-Lang": "python",
    "X-Stainless-Package-Version": "3.52.0",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "X-Stainless-Runtime-Version": "3.11.7",
    "X-Stainless-Async": "false",
    "X-Stainless-Retry-Count": "0",
    "X-Stainless-Read-Timeout": "600",
}
BARE_HEADERS = {"Content-Type": "application/json"}

ANSWER = json.dumps(
    {
        "id": "chatcmpl-benchmark0123456789",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "whole",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "All that is gold does not glitter. " * 8, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 110, "completion_tokens": 72, "total_tokens": 182},
        "system_fingerprint": "fp_benchmark",
    }
)


def chat(model: str, **fields: object) -> bytes:
    """A chat request of BODY_BYTES bytes."""
    body = {"model": model, "messages": [{"role": "user", "content": ""}], **fields}
    lacking = BODY_BYTES - len(json.dumps(body))
    body["messages"] = [{"role": "user", "content": ("tell me of the sea and the ships " * 20)[:lacking]}]
    return json.dumps(body).encode()


def stream(events: int, interval_ms: int) -> bytes:
    """A chat request that the mock upstream answers with so many events at that pace, the three last ones included."""
    pace = {"events": str(events - 3), "interval_ms": str(interval_ms)}
    return chat("stream", stream=True, stream_options={"include_usage": True}, metadata=pace)


def large(mib: int) -> bytes:
    """A chat request of exactly so many MiB: one long prompt."""
    begin, end = b'{"model": "body", "messages": [{"role": "user", "content": "', b'"}]}'
    words = b"tell me of the sea and the ships "
    lacking = (mib << 20) - len(begin) - len(end)
    return begin + (words * (lacking // len(words) + 1))[:lacking] + end


def request(port: int, body: bytes, headers: dict[str, str]) -> bytes:
    """The whole request as bytes."""
    head = {"Host": f"127.0.0.1:{port}", **headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode() + body
