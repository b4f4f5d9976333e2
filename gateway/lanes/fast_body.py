"""A request's body in the fast lane, when it is not simply here: waited for, decoded, or refused.

The rules are those of the aiohttp lane (`aiohttp_lane.AiohttpBody`), and so are the words. One thing is better here:
framing that breaks off in the middle of a body is told at once.
"""

from __future__ import annotations

from gateway import errors
from gateway._fast import Request
from gateway.deadlines import Clock, DeadlinePassed, TimerWheel
from gateway.errors import GatewayError
from gateway.lanes.decoding import ENCODINGS, Decoder, too_large
from gateway.relay import late


async def read_body(request: Request, limit: int, wheel: TimerWheel, patience: float) -> bytes:
    """The whole of it, decoded, if it comes within `patience` seconds and has no more than `limit` bytes."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        message = f"content-encoding {encoding[:40]} is not read; send {', '.join(ENCODINGS)}"
        raise GatewayError(errors.UNSUPPORTED_ENCODING, message)
    declared = request.headers.content_length
    if declared > limit:
        raise too_large(f"the body of {declared} bytes", limit)
    try:
        with wheel.guard() as deadline:
            deadline.set(Clock.BODY, patience)
            return await _collect(request, encoding, limit)
    except DeadlinePassed as passed:
        request.late = True
        if passed.clock is Clock.DRAIN:
            raise late(passed.clock, "") from passed
        raise GatewayError(errors.BODY_TIMEOUT, "the body did not arrive in time (server.body_timeout)") from passed


async def _collect(request: Request, encoding: str, limit: int) -> bytes:
    """A plain body at its end, an encoded one step by step, so that nothing large is decoded in one go."""
    plain = encoding == "identity"
    decoder = Decoder(encoding)
    parts: list[bytes] = []
    decoded = 0
    while True:
        arrival = request.arrival(each=not plain)
        if not plain:
            for piece in decoder.feed(request.pieces()):
                decoded += len(piece)
                if decoded > limit:
                    raise too_large("the body", limit)
                parts.append(piece)
        if arrival is None:
            break
        await arrival
    if request.gone:
        raise ConnectionResetError("the client has left")
    if request.broken is not None:
        raise GatewayError(errors.VALIDATION, f"the body's framing is broken ({request.broken})")
    if request.oversized:
        raise too_large("the body", limit)
    if plain:
        return request.pieces()
    parts.append(rest := decoder.finish())
    if decoded + len(rest) > limit:
        raise too_large("the body", limit)
    return b"".join(parts)
