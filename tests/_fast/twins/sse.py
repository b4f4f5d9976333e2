"""sse.pyx once more: where the compiled scanner keeps offsets and goes on where it stopped, this one keeps the whole
unfinished event and reads it again with every feed.
"""

from __future__ import annotations

import re
from typing import Any

from tests._fast.twins.json_spans import parse

LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n)")
MARK = b"\xef\xbb\xbf"


class SseScanner:
    def __init__(
        self,
        *,
        items: str = "choices",
        delta: str | None = "delta",
        content: tuple[str, ...],
        finish: str = "finish_reason",
        usage: str = "usage",
        error: str = "error",
        done: bytes = b"[DONE]",
        strip_usage: bool = False,
        drop_malformed: bool = True,
        event_hold: int = 65536,
        least: int = 1,
    ) -> None:
        self._least = least
        self._keys = (items, delta, content, finish, usage, error, done)
        self._strip_usage = strip_usage
        self._drop_malformed = drop_malformed
        self._event_hold = event_hold
        self.content = self.done = False
        self.error: bytes | None = None
        self.usage: dict[str, object] | None = None
        self.events = self.malformed = self.unjudged = self.removed = 0
        self._ended: dict[int, bool] = {}  # by index
        self._too_many = False
        self._tail = b""  # the unfinished event from its first byte
        self._sent = 0  # how many bytes of it went out already, unjudged
        self._first = True  # nothing has ended yet: a byte order mark may be there
        self._line_end = b"\n"
        self._open_cr: bytes | None = None  # what an LF that comes next becomes, after an event that ended in CR
        self._closed = self._stopped = False

    @property
    def finished(self) -> bool:
        return len(self._ended) >= self._least and all(self._ended.values()) and not self._too_many

    @property
    def held(self) -> int:
        return 0 if self._sent else len(self._tail)

    @property
    def boundary(self) -> bool:
        return not self._sent

    def feed(self, data: bytes, /) -> bytes:
        if self._closed:
            raise ValueError("feed() after close()")
        if self._stopped or not data:
            return b""
        out = b""
        if self._open_cr is not None and data.startswith(b"\n"):
            out, data, self._line_end = self._open_cr, data[1:], b"\r\n"
        self._open_cr = None
        self._tail += data
        while (end := self._event_end()) is not None:
            event, self._tail = self._tail[: end[1]], self._tail[end[1] :]
            passed = self._passed(event, end[0])
            out += passed
            if self._stopped:
                self._tail = b""
                return out
            self._first = False
            if event.endswith(b"\r") and not self._tail:
                self._open_cr = b"\n" if passed else b""
        if self._sent or len(self._tail) > self._event_hold:
            self._let_pass()
            out += self._tail[self._sent :]
            self._sent = len(self._tail)
        return out

    def close(self) -> bytes:
        if self._closed or self._stopped:
            self._closed = True
            return b""
        self._closed = True
        tail, self._tail = self._tail, b""
        sent, self._sent = self._sent, 0
        if not tail:
            return b""
        completed = tail + self._line_end * (1 if tail.endswith((b"\r", b"\n")) else 2)
        if sent:
            return completed[sent:]
        data, error_event = self._fields(completed)
        if data is None:
            return completed
        try:
            if not data or data != self._keys[-1]:
                parse(data)
        except ValueError:
            return b""
        return completed if self._judge(data, error_event) == "pass" else b""

    def _event_end(self) -> tuple[int, int] | None:
        """Where the first event's blank line ends: with its first byte, and in all."""
        for line in LINE.finditer(self._tail):
            self._line_end = line[2]
            if not line[1] or (self._first and line.start() == 0 and line[1] == MARK):
                return line.end(1) + 1, line.end()
        return None

    def _let_pass(self) -> None:
        if not self._sent:
            self.events += 1
            self.unjudged += 1
            self.content = True

    def _passed(self, event: bytes, dispatched: int) -> bytes:
        if self._sent or dispatched > self._event_hold:
            self._let_pass()
            sent, self._sent = self._sent, 0
            return event[sent:]
        data, error_event = self._fields(event)
        verdict = self._judge(data, error_event) if data else "pass"
        self._stopped = verdict == "stop"
        return event if verdict == "pass" else b""

    def _fields(self, event: bytes) -> tuple[bytes | None, bool]:
        """The data, or None without a data line; and whether the type is `error`."""
        data: list[bytes] = []
        kind = b""
        for line in LINE.finditer(event.removeprefix(MARK) if self._first else event):
            name, _, value = line[1].partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                kind = value
        return (b"\n".join(data) if data else None), kind == b"error"

    def _judge(self, data: bytes, error_event: bool) -> str:
        items_key, _, _, _, usage_key, error_key, done = self._keys
        self.events += 1
        if data == done:
            self.done = self.content = True
            return "pass"
        try:
            value: Any = parse(data)
        except ValueError:
            self.malformed += 1
            return "drop" if self._drop_malformed else "pass"
        if not isinstance(value, dict):
            return "pass"
        usage, items = value.get(usage_key), value.get(items_key)
        if isinstance(usage, dict):
            self.usage = usage
        if error_event or value.get(error_key) or value.get("object") == "error":
            self.error = data if self.error is None else self.error
            return "pass" if self.content else "stop"
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                self._item(item)
        if self._strip_usage and items == [] and isinstance(usage, dict):
            self.removed += 1
            return "drop"
        return "pass"

    def _item(self, item: dict[str, Any]) -> None:
        _, delta_key, content_keys, finish_key, _, _, _ = self._keys
        holder = item.get(delta_key) if delta_key is not None else item
        if isinstance(holder, dict):
            values = [holder.get(key) for key in content_keys]
            self.content |= any(bool(value) and isinstance(value, str | list | dict) for value in values)
        ended = bool(item.get(finish_key))
        self.content |= ended
        index = item.get("index")
        if type(index) is not int:
            index = 0
        if index in self._ended or 0 <= index < 64 or sum(not 0 <= known < 64 for known in self._ended) < 4096:
            self._ended[index] = self._ended.get(index, False) or ended
        else:
            self._too_many = True
