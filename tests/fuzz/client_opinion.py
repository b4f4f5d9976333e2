"""What h11 makes of both sides of a client's connection: the answers it was given, and the requests it sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import h11

from tests.fuzz.second_opinion import LARGEST, Disagreement
from tests.fuzz.stub_lane import REFUSAL

if TYPE_CHECKING:
    from tests.fuzz.stub_lane import Served, StubLane

TOO_SHORT = "peer closed connection without", "peer unexpectedly closed", "role=SERVER and state=SEND_RESPONSE"


def of_output(out: bytes, cut: bool, lane: StubLane) -> list[tuple[int, bytes]]:
    """Every answer in its turn; `cut`: some of it may be missing at the end. Gives status and body of each."""
    answers: list[tuple[int, bytes]] = []
    last = False
    for served in lane.served:
        if not served.status:
            continue
        if last and out:
            raise Disagreement("an answer after the one that was the last")
        whole = served.ending == "answered" and served.manner != "short"
        read = _answer(served.method, out)
        if read is None:
            if whole and not cut:
                raise Disagreement(f"the answer {served.status} is not whole: {out[:300]!r}")
            return answers
        status, body, out, last, interim = read
        said = b"" if served.method == "HEAD" else served.said
        if interim > served.waits:
            raise Disagreement(f"{interim} interim answers")
        if (status, body) != (served.status, said) and (whole or not said.startswith(body)):
            raise Disagreement(f"h11 reads {status} {body[:200]!r}, given was {served.status} {said[:200]!r}")
        answers.append((status, body))
    if lane.refusals and not last and out:
        read = _answer("GET", out)
        if read is None and cut:
            return answers
        if read is None or read[0] not in (400, 408) or read[1] != REFUSAL or not read[3]:
            raise Disagreement(f"the refusal reads {read}")
        answers.append((read[0], read[1]))
        out = read[2]
    if out and not cut and out != b"HTTP/1.1 100 Continue\r\n\r\n":
        raise Disagreement(f"nobody answered this: {out[:300]!r}")
    return answers


def _answer(method: str, out: bytes) -> tuple[int, bytes, bytes, bool, int] | None:
    """Status, body, what follows, whether it was the last, and the number of interim answers; None: it is not whole."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(out)
    connection.receive_data(b"")
    status, body, interim, last, tokens = 0, b"", 0, False, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.InformationalResponse):
                interim += 1
            elif isinstance(event, h11.Response):
                status = event.status_code
                tokens = dict(event.headers).get(b"connection", b"")
                last = tokens == b"close" or (event.http_version == b"1.0" and tokens != b"keep-alive")
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body, connection.trailing_data[0], last, interim
            else:
                return None
    except h11.RemoteProtocolError as problem:
        if any(words in str(problem) for words in TOO_SHORT):
            return None
        raise Disagreement(f"h11 cannot read {out[:300]!r}: {problem}") from None


def of_requests(inward: bytes, served: list[Served]) -> None:
    """Nobody may see other requests in these bytes than we did; both may refuse what the other takes."""
    others = requests(inward)
    for ours in served:
        theirs = next(others, None)
        if theirs is None:
            return
        method, target, body = theirs
        if (method, target) != (ours.method, ours.target):
            raise Disagreement(f"h11 reads {method} {target!r}, we {ours.method} {ours.target!r}")
        if body is not None and ours.body is not None and body != ours.body:
            raise Disagreement(f"h11 reads the body {body[:200]!r}, we {ours.body[:200]!r}")
        if body is None:
            return


def requests(inward: bytes) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Until h11 refuses one, or does not keep the connection after it; None: its body is not whole."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
    connection.receive_data(inward)
    head, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            event = None
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            yield head.method.decode(), head.target, body
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE or connection.their_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()
            head = None
        else:
            if head is not None:
                yield head.method.decode(), head.target, None
            return
