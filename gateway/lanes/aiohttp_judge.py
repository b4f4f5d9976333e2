"""What aiohttp takes for a request and we do not: the same that the fast lane refuses, for the same reasons.

Each of these is read differently by somebody in front of us or behind us, so nothing of it is guessed at. Two more
things aiohttp does with what stands behind a request; there the connection ends with the answer, and says so:

- An offered upgrade is ignored (RFC 9110, 7.8), but aiohttp drops whatever came behind that request in the same read:
  the next read could begin in the middle of a body that would be taken for a request.
- The last trailer of a chunked body becomes a header of the next request on the connection. Whether there was one is
  told by how the body ended; trailers cannot end as a body without them does, since they all have colons.
"""

from __future__ import annotations

import re

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage

MOST = 64 << 10  # bytes of all headers together
DIGITS = 18  # of a length
TARGET = re.compile(r"/|https?://[^/?#@]+([/?#]|\Z)", re.IGNORECASE)
PLAIN_END = b"\r\n0\r\n\r\n"
VERSION = web.RequestKey("version", HttpVersion)  # the request's item with the version that its client said


def answerable(message: RawRequestMessage) -> RawRequestMessage:
    """The message with a version that we can answer in."""
    if (
        message.version in (HttpVersion10, HttpVersion11) and message.method != "UNKNOWN"
    ):  # that is aiohttp's for a broken head
        return message
    return message._replace(version=HttpVersion11)


def judge(request: web.BaseRequest) -> None:
    """Raises BadHttpMessage, whose words may be shown."""
    version: HttpVersion = request[VERSION]
    if version not in (HttpVersion10, HttpVersion11):
        raise BadHttpMessage("the version is neither HTTP/1.0 nor HTTP/1.1")
    if request.method == hdrs.METH_CONNECT:
        raise BadHttpMessage("CONNECT is not served")
    if not TARGET.match(request.raw_path):
        raise BadHttpMessage("the target is no path")
    codings = request.headers.getall(hdrs.TRANSFER_ENCODING, ())
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise BadHttpMessage("the Transfer-Encoding is not exactly: chunked")
    if codings and version != HttpVersion11:
        raise BadHttpMessage("the body is framed in a way that this version of HTTP does not have")
    if len(request.headers.get(hdrs.CONTENT_LENGTH, "")) > DIGITS:
        raise BadHttpMessage("the Content-Length is not one number")
    if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > MOST:
        raise BadHttpMessage("the headers are too many or too large")


def is_last(request: web.BaseRequest, end: bytes) -> bool:
    """Must the connection end with this request? `end` is what was read last."""
    return hdrs.UPGRADE in request.headers or (hdrs.TRANSFER_ENCODING in request.headers and end != PLAIN_END)
