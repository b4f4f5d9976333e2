"""The compiled core, and its only door: everyone writes `from gateway._fast import …`. README.md has the rules."""

from __future__ import annotations

try:
    from gateway._fast.json_spans import DuplicateKey, parse, top_level
    from gateway._fast.sse import SseScanner
except ImportError as _missing:
    raise ImportError(
        f"the compiled modules of gateway/_fast are missing or stale: run `make build` ({_missing})"
    ) from _missing

__all__ = ["DuplicateKey", "SseScanner", "parse", "top_level"]
