"""Where the lanes differ, one by one: the same names, in the same order, as in the table of docs/lanes.md.

`judged` puts two outcomes side by side and lets each difference excuse what is its own and no more: it takes that out
of both and says that it did. What is left has to be equal. So an excuse must be narrow: it looks at what was sent and
at both outcomes, and never takes away more than the answers that it is about.

A client that leaves is no difference: how much of its answers it still gets is chance, in the same lane from run to
run; what it gets must be the beginning of what the other lane gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.equivalence import normal
from tests.equivalence.conversation import Outcome, Script, one
from tests.server.raw import HELLO, chunked, request

Answers = list[dict[str, Any]]
NOT_HTTP = "this is not HTTP/1.1 as we read it: "
BROKEN = r"the body's framing is broken \("
REFUSED = {"line": "REFUSED", "headers": [], "body": "", "framing": ""}
GET = request(method="GET", path="/live")
CHUNKED = {"Transfer-Encoding": "chunked"}
CALL = HELLO.replace(b'"echo"', b'"m"')
BEHIND = 256 << 10  # bytes
STUCK = request(CALL.replace(b'"m"', b'"slow","play":"hang"'))
OFFER = {"Upgrade": "h2c", "Connection": "Upgrade"}
TRAILED = rb"\r\n0\r\n[\w-]+:"
LARGE = chunked(CALL)[:-2] + b"X-T: " + b"t" * 17_000 + b"\r\n\r\n"


@dataclass(frozen=True)
class Difference:
    """`excuse` changes both sides in place and says whether it had to; `example` shows that it still exists."""

    name: str
    excuse: Callable[[Script, Answers, Answers], bool]
    example: Script


def judged(
    script: Script, fast: Outcome, aiohttp: Outcome, allowed: Sequence[str] | None = None
) -> tuple[bool, list[str]]:
    """Are they the same, and by which excuses?"""
    ours, theirs = normal.outcome(fast), normal.outcome(aiohttp)
    sides: tuple[Answers, Answers] = ours["answers"], theirs["answers"]
    excuses = [each for each in DIFFERENCES if allowed is None or each.name in allowed]
    used = [each.name for each in excuses if sides[0] != sides[1] and each.excuse(script, *sides)]
    if script.leaves:
        few, many = sorted(sides, key=len)
        return many[: len(few)] == few and ours["end"] == theirs["end"], used
    same_end = (ours["rest"], ours["end"]) == (theirs["rest"], theirs["end"])
    return sides[0] == sides[1] and same_end, used


def split_at(fast: Answers, aiohttp: Answers) -> int:
    """Where they part."""
    return next(
        (n for n, pair in enumerate(zip(fast, aiohttp, strict=False)) if pair[0] != pair[1]),
        min(len(fast), len(aiohttp)),
    )


def refusal(said: dict[str, Any], *words: str) -> bool:
    """Is this the answer to what is no request?"""
    return " 400 " in said["line"] and any(re.search(f'"message":"{each}', said["body"]) for each in words)


def ends(said: dict[str, Any]) -> bool:
    return ("connection", "close") in said["headers"]


def without_end(said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "headers": [pair for pair in said["headers"] if pair[0] != "connection"]}


def kept(answers: Answers) -> bool:
    """Was the closer answered?"""
    return bool(answers) and ("x-request-id", "closer") in answers[-1]["headers"]


def _words(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """Both refuse the same place: by which words, and which version of HTTP they say them in, is their own affair."""
    found = False
    for number, (ours, theirs) in enumerate(zip(fast, aiohttp, strict=False)):
        theirs_too = refusal(theirs, NOT_HTTP) or (
            b"HEAD " in script.raw and theirs["body"] == "" and " 400 " in theirs["line"]
        )
        if ours != theirs and refusal(ours, NOT_HTTP) and theirs_too and ends(ours) and ends(theirs):
            fast[number] = aiohttp[number] = REFUSED
            found = True
    return found


def _body_breaks(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """A body whose framing breaks: aiohttp sees no call at all, or waits for the body until its time is up."""
    at = split_at(fast, aiohttp)
    if fast[at:] and refusal(fast[at], BROKEN) and ends(fast[at]) and at == len(fast) - 1 == len(aiohttp) - 1:
        theirs = aiohttp[at]
        status = theirs["line"].split()[1]
        if ends(theirs) and (refusal(theirs, NOT_HTTP, BROKEN) or status in ("408", "413")):
            fast[at] = aiohttp[at] = REFUSED
            return True
    return False


def _lost(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """What came in one read with something broken: the fast lane answers what was sound, aiohttp only refuses."""
    at = split_at(fast, aiohttp)
    if at != len(aiohttp) - 1 or not refusal(aiohttp[at], NOT_HTTP) or not fast[at:] or kept(fast):
        return False
    if refusal(fast[at], NOT_HTTP, BROKEN):  # then nothing sound was before it
        return False
    del fast[at:], aiohttp[at:]
    return True


SINGLE = re.compile(r"Duplicate '([\w-]+)' header found")


def _twice(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """aiohttp refuses a second line of whatever has one value; the fast lane that of Host and of a body's framing."""
    at = split_at(fast, aiohttp)
    found = SINGLE.search(aiohttp[at]["body"]) if at == len(aiohttp) - 1 else None
    if found is None or found[1].lower() in ("host", "content-length", "transfer-encoding"):
        return False
    if script.raw.lower().count(found[1].lower().encode() + b":") < 2:
        return False
    del fast[at:], aiohttp[at:]
    return True


def _last(fast: Answers, aiohttp: Answers) -> bool:
    """aiohttp's connection ends with an answer that is the same but for saying so; the fast lane's goes on."""
    at = split_at(fast, aiohttp)
    if at != len(aiohttp) - 1 or not fast[at:] or not ends(aiohttp[at]) or ends(fast[at]):
        return False
    if without_end(fast[at]) != without_end(aiohttp[at]):
        return False
    aiohttp[at] = without_end(aiohttp[at])
    del fast[at + 1 :]
    return True


def _upgrade(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    return b"upgrade" in script.raw.lower() and _last(fast, aiohttp)


def _chunked(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    return b"transfer-encoding" in script.raw.lower() and _last(fast, aiohttp)


def _odd(sent: bytes, words: bytes) -> Callable[[Script, Answers, Answers], bool]:
    """aiohttp refuses, in these words, a request with something that is nobody's business here."""

    def excuse(script: Script, fast: Answers, aiohttp: Answers) -> bool:
        at = split_at(fast, aiohttp)
        if at != len(aiohttp) - 1 or not fast[at:] or not refusal(aiohttp[at], NOT_HTTP + words.decode()):
            return False
        if not re.search(sent, script.raw, re.IGNORECASE):
            return False
        del fast[at:], aiohttp[at:]
        return True

    return excuse


def _old(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """HTTP/1.0 connections end by default; the fast lane says so all the same, and `close` beats `keep-alive`."""
    at = split_at(fast, aiohttp)
    if b"/1.0" not in script.raw or at != len(fast) - 1 or not aiohttp[at:] or not ends(fast[at]):
        return False
    insists = ("connection", "keep-alive") in aiohttp[at]["headers"] and b"close" in script.raw.lower()
    if without_end(fast[at]) != without_end(aiohttp[at]) or not (insists or aiohttp[at:] == [without_end(fast[at])]):
        return False
    fast[at] = aiohttp[at] = without_end(fast[at])
    del aiohttp[at + 1 :]
    return True


def _behind(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """Too much waits behind a request that is being answered: the fast lane cuts, aiohttp reads no more for a while."""
    at = split_at(fast, aiohttp)
    if len(script.raw) <= BEHIND or at != len(fast) or not aiohttp[at:]:
        return False
    del aiohttp[at:]
    return True


REASON = re.compile(r"(broke off its answer|answered what is not HTTP) \([^()]*\)|answered 101\b")


def _reasons(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """What exactly was wrong with a provider's answer, each upstream client says in its own words."""
    found = False
    for ours, theirs in zip(fast, aiohttp, strict=False):
        if ours["body"] != theirs["body"] and REASON.search(ours["body"]) and REASON.search(theirs["body"]):
            for said in (ours, theirs):
                said["body"] = REASON.sub("ANSWERED WRONGLY", said["body"])
                said["headers"] = [pair for pair in said["headers"] if pair[0] != "content-length"]
            found = True
    return found


def _late_head(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """A head that takes too long: the fast lane says so, aiohttp closes what has been idle for too long."""
    if len(fast) != len(aiohttp) + 1 or "server.header_timeout" not in fast[-1]["body"] or not ends(fast[-1]):
        return False
    del fast[-1]
    return True


def _interim(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """Who waits for 100 gets it from aiohttp always, from the fast lane unless the body is here already."""
    if b"100-continue" not in script.raw.lower():
        return False
    for answers in (fast, aiohttp):
        answers[:] = [said for said in answers if said["line"] != "HTTP/1.1 100 Continue"]
    return True


def _unread(script: Script, fast: Answers, aiohttp: Answers) -> bool:
    """An answer that did not need the body: the connection is kept or not by how much of it was here by then."""
    at = split_at(fast, aiohttp)
    if at >= min(len(fast), len(aiohttp)) or ends(fast[at]) == ends(aiohttp[at]) or refusal(aiohttp[at], NOT_HTTP):
        return False
    if without_end(fast[at]) != without_end(aiohttp[at]):
        return False
    if not re.search(rb"content-length|transfer-encoding", script.raw, re.IGNORECASE):
        return False
    if any(name == "x-gateway-provider" for name, _ in fast[at]["headers"]):  # the body has been read
        return False
    for answers in (fast, aiohttp):
        answers[at] = without_end(answers[at])
        del answers[at + 1 :]
    return True


def _get(**headers: str) -> Script:
    return one(
        request(method="GET", path="/live", headers={name.replace("_", "-"): value for name, value in headers.items()})
    )


DIFFERENCES = [
    Difference("100 Continue", _interim, one(request(CALL, headers={"Expect": "100-continue"}))),
    Difference("HTTP/1.0", _old, one(request(CALL, version="1.0"), closer=False)),
    Difference("an unread body", _unread, one(request(bytes(150_000)))),
    Difference("an offered upgrade", _upgrade, one(request(CALL, headers=OFFER))),
    Difference("chunks with something behind them", _chunked, one(request(chunked(CALL), headers=CHUNKED))),
    Difference("a header twice", _twice, one(GET.replace(b"Host", b"User-Agent: a\r\nUser-Agent: b\r\nHost"))),
    Difference("Sec-WebSocket-Key1", _odd(b"sec-websocket-key1", b"Invalid HTTP header"), _get(Sec_WebSocket_Key1="a")),
    Difference(
        "an odd authority", _odd(b"https?://", b"the target is no path"), one(GET.replace(b" /", b" http://a:b/"))
    ),
    Difference("trailers", _odd(TRAILED, b"(Got more than|Too many|Duplicate)"), one(request(LARGE, headers=CHUNKED))),
    Difference("too much behind", _behind, one(STUCK + request(bytes(60_000)) * 6)),
    Difference("a late head", _late_head, one(GET[:-2], closer=False)),
    Difference("a broken answer's reason", _reasons, one(request(CALL[:-1] + b',"play":"cut"}'), closer=False)),
    Difference("a refusal's words", _words, one(GET.replace(b"Host", b"X-Host"), closer=False)),
    Difference("a broken body", _body_breaks, one(request(b"zz\r\n", headers=CHUNKED), closer=False)),
    Difference("sound before broken", _lost, one(GET + b"hello\r\n\r\n")),
]
