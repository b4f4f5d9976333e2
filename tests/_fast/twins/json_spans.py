"""json_spans.pyx once more: where the compiled one skips over values, this one parses them with the json module."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson


def parse(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        if re.search(rb"\\u[dD]", text) is None:
            raise
        orjson.loads(re.sub(rb"(\\u)[dD][89a-fA-F]..", rb"\1fffd", text))  # nothing else is wrong with it
        return json.loads(text.decode())


class DuplicateKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def top_level(body: bytes, /) -> dict[str, tuple[int, int]]:
    text = body.decode("latin-1")  # one character per byte, so that offsets are the body's
    decoder = json.JSONDecoder(strict=False)
    at = _space(text, _expect(text, _space(text, 0), "{"))
    spans: dict[str, tuple[int, int]] = {}
    while text[at : at + 1] != "}" or spans:
        _expect(text, at, '"')
        _, end = decoder.raw_decode(text, at)
        key = orjson.loads(body[at:end])
        if key in spans:
            raise DuplicateKey(key)
        start = _space(text, _expect(text, _space(text, end), ":"))
        _, end = decoder.raw_decode(text, start)
        spans[key] = (start, end)
        at = _space(text, end)
        if text[at : at + 1] == "}":
            break
        at = _space(text, _expect(text, at, ","))
    if _space(text, at + 1) != len(text):
        raise ValueError("something follows the object")
    return spans


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _expect(text: str, at: int, what: str) -> int:
    if text[at : at + 1] != what:
        raise ValueError(f"{what} is not at {at}")
    return at + 1
