"""A JSON request: from bytes to a `Call`, and back to bytes with as little changed as possible.

Same dialect on both sides means the client's own bytes are forwarded: field order, number spelling and
unknown fields survive. Only values that must differ are cut out and replaced where they stand.

Duplicate top-level keys are refused, compared after unescaping: we would act on one of them and the
provider, reading the same bytes again, perhaps on the other. So are those of an object that is edited.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway import errors
from gateway._fast import DuplicateKey, top_level
from gateway.errors import GatewayError
from gateway.exchange import Call

ASK_USAGE = b'"include_usage":true'


def read_call(body: bytes, *, streams: bool) -> Call:
    """Parse a request. Raises GatewayError 400 for what is not one JSON object with a model."""
    fields = _parse(body)
    spans = _spans(body)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        problem = "is required" if model is None else "must be a non-empty string"
        raise GatewayError(errors.VALIDATION, f"model: {problem}", param="model")
    return Call(body=body, fields=fields, spans=spans, model=model, stream=streams and fields.get("stream") is True)


def _parse(body: bytes) -> dict[str, Any]:
    if not body:
        raise GatewayError(errors.VALIDATION, "the request has no body; send a JSON object")
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise GatewayError(errors.VALIDATION, f"the body is not valid JSON: {_said(body, problem)}") from problem
    if not isinstance(fields, dict):
        raise GatewayError(errors.VALIDATION, "the body must be a JSON object")
    return fields


def _said(body: bytes, problem: orjson.JSONDecodeError) -> str:
    """What is wrong, and where."""
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        return f"byte {wrong.start} is not valid UTF-8"
    return str(problem)


def _spans(body: bytes, inside: str = "") -> dict[str, tuple[int, int]]:
    try:
        return top_level(body)
    except DuplicateKey as twice:
        param = inside + twice.key
        raise GatewayError(errors.VALIDATION, f"{param}: stands twice in the request; keep one", param=param) from twice


def rewritten(call: Call, *, model: str, ask_usage: bool) -> bytes:
    """The client's bytes with the provider's model name and, with `ask_usage`, usage asked for."""
    edits: list[tuple[int, int, bytes]] = []
    if model != call.model:
        edits.append((*call.spans["model"], orjson.dumps(model)))
    insert = b""
    if ask_usage and not call.wants_usage:
        where = call.spans.get("stream_options")
        if where is None:
            insert = b'"stream_options":{' + ASK_USAGE + b"},"
        else:
            edits.append((*where, _asking(call.body[slice(*where)])))
    if not edits and not insert:
        return call.body
    return _edited(call.body, edits, insert)


def _asking(options: bytes) -> bytes:
    """These stream options, and usage."""
    if not orjson.loads(options):
        return b"{" + ASK_USAGE + b"}"
    where = _spans(options, "stream_options.").get("include_usage")
    if where is None:
        return _edited(options, [], ASK_USAGE + b",")
    return _edited(options, [(*where, b"true")])


def _edited(body: bytes, edits: list[tuple[int, int, bytes]], insert: bytes = b"") -> bytes:
    """`body` with spans replaced, and `insert` put before its first member."""
    view = memoryview(body)  # a large prompt is copied once, by the join
    position = body.index(b"{") + 1
    pieces: list[bytes | memoryview] = [view[:position], insert]
    for start, end, value in sorted(edits):
        pieces += [view[position:start], value]
        position = end
    return b"".join([*pieces, view[position:]])
