"""OpenAI embeddings: the request's rules, its inputs, and the answer in both number formats (wire.md §1.5)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.dialects.fields import Either, Integer, ListOf, Object, OneOf, Text, Uniform
from gateway.dialects.openai import OpenAIDialect, as_text, inputs

_TEXT, _TOKENS = Text(nonempty=True), ListOf(Integer(0), nonempty=True)
_INPUT = Either(
    "a string, an array of strings, of tokens, or of arrays of tokens",
    _TEXT,
    Uniform("a string, a token or an array of tokens", _TEXT, Integer(0), _TOKENS),
)

REQUEST = Object(
    {"model": Text(nonempty=True), "input": _INPUT},
    {"encoding_format": OneOf("float", "base64"), "dimensions": Integer(1, 65536), "user": Text()},
)


DIALECT = OpenAIDialect(REQUEST)


def read_inputs(fields: Mapping[str, Any]) -> list[str]:
    """The texts to embed."""
    return [as_text(each) for each in inputs(fields["input"])]


def write_vectors(model: str, vectors: Iterable[Sequence[float]], tokens: int, *, as_base64: bool) -> Iterator[bytes]:
    """The answer, one piece per vector; base64 means little-endian 32-bit floats."""

    def written(vector: Sequence[float]) -> object:
        if not as_base64:
            return list(vector)
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    yield b'{"object":"list","data":['
    for i, vector in enumerate(vectors):
        yield b"," * (i > 0) + orjson.dumps({"object": "embedding", "index": i, "embedding": written(vector)})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    yield b"]," + orjson.dumps({"model": model, "usage": usage})[1:]
