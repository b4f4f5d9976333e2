"""Where a client's bytes differ from the upstream's: all of it. What is not in this table is identical.

Each row: its name, what the upstream sends (a number is a pause in seconds), what the client gets, and
whether the client asked for the usage event itself. `IDENTICAL` are the rows one might take for exceptions.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.stream_reply import COMMENT
from tests.relay.chat import DONE, HELLO, ROLE, STOP, USAGE, WORLD, event

ERROR = event({"error": {"message": "overheated", "type": "server_error", "code": None}})
INTERRUPTED = (
    b'data: {"error":{"message":"the stream was interrupted: p0 ended its stream without a finish reason",'
    b'"type":"api_error","param":null,"code":"stream_interrupted"}}\n\n'
)
BROKEN_JSON = b'data: {"choices":[{"delta":\n\n'


class Row(NamedTuple):
    """What goes in, what comes out."""

    name: str
    upstream: tuple[bytes | float, ...]
    client: bytes
    wants_usage: bool = False
    drop_malformed: bool = True


EXCEPTIONS = (
    Row("usage only we asked for is taken out", (ROLE + HELLO + STOP + USAGE + DONE,), ROLE + HELLO + STOP + DONE),
    Row("a malformed event is taken out", (HELLO + BROKEN_JSON + WORLD + STOP + DONE,), HELLO + WORLD + STOP + DONE),
    Row("a missing [DONE] is put in", (HELLO + STOP,), HELLO + STOP + DONE),
    Row("and so after usage was taken out", (HELLO + STOP + USAGE,), HELLO + STOP + DONE),
    Row("a missing last blank line is put in", (HELLO + STOP + DONE[:-1],), HELLO + STOP + DONE),
    Row("and a missing last line end", (HELLO + STOP + DONE[:-2],), HELLO + STOP + DONE),
    Row(
        "in the stream's own line ends",
        ((HELLO + STOP + DONE[:-2]).replace(b"\n", b"\r\n"),),
        (HELLO + STOP + DONE).replace(b"\n", b"\r\n"),
    ),
    Row("a comment stands between events while it is silent", (HELLO, 1.5, STOP + DONE), HELLO + COMMENT + STOP + DONE),
    Row("a broken stream ends with an error", (HELLO + WORLD,), HELLO + WORLD + INTERRUPTED),
    Row("an event cut in the middle is left out", (HELLO + WORLD[:30],), HELLO + INTERRUPTED),
)

BESIDE = event({"choices": [{"delta": {"content": "x"}}], "usage": {"total_tokens": 1}})
ODD = b'data:  { "choices" : [ {"delta":{"content":"\\u00e9"},"x":1.50e0 } ] }\n\n'
WITH_USAGE = HELLO + STOP + USAGE + DONE
KEPT = HELLO + BROKEN_JSON + STOP + DONE

IDENTICAL = (
    Row("usage that the client asked for", (WITH_USAGE,), WITH_USAGE, wants_usage=True),
    Row("usage beside choices", (BESIDE + STOP + DONE,), BESIDE + STOP + DONE),
    Row("malformed events where they are kept", (KEPT,), KEPT, drop_malformed=False),
    Row("an error of the provider's own", (HELLO + ERROR,), HELLO + ERROR),
    Row("what follows [DONE]", (HELLO + STOP + DONE + b": bye\n\n",), HELLO + STOP + DONE + b": bye\n\n"),
    Row("numbers, escapes and spaces", (ODD + STOP + DONE,), ODD + STOP + DONE),
)
