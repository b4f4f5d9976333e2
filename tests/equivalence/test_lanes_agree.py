"""One set of conversations, held with both lanes, and compared field by field: what the client hears, what the provider
is asked, the line in the access log, and what the meters say.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tests.equivalence import normal
from tests.equivalence.cases import CASES, slug
from tests.equivalence.conversation import Outcome, hold
from tests.equivalence.differences import judged
from tests.equivalence.stage import Side, Stage
from tests.equivalence.test_smuggling import settled
from tests.harness import eventually
from tests.harness.fake_provider import Seen
from tests.harness.sampling import read

Lines = list[dict[str, Any]]


@dataclass
class Taken:
    """What one lane made of a case."""

    outcome: Outcome
    asked: list[tuple[str, str, dict[str, str], bytes]]
    moved: dict[str, float]
    lines: Lines


def test_both_lanes_agree_on_every_case() -> None:
    """One case after the other, so that turns and connections are the same in both; all faults are told at once."""
    with Stage() as stage:
        fast, aiohttp = stage.each(play)
    wrong = {}
    for name in CASES:
        for judge in (heard, asked_alike, written, metered):
            if problem := judge(name, fast[name], aiohttp[name]):
                wrong[f"{name}: {judge.__name__}"] = problem
    assert not wrong, f"{len(wrong)}: {list(wrong)}\n{next(iter(wrong.values()))}"


def play(side: Side) -> dict[str, Taken]:
    found = {}
    before, seen = at_rest(side), 0
    for name, script in CASES.items():
        (outcome,) = hold(side.gateway.port, [script])
        after = at_rest(side)
        found[name] = Taken(
            outcome, [asked(each) for each in side.provider.seen[seen:]], normal.movement(before, after), []
        )
        before, seen = after, len(side.provider.seen)
    settled(side, side.gateway.port)
    by_id: dict[str, Lines] = defaultdict(list)
    for line in side.gateway.access:
        by_id[line["request_id"]].append(normal.access_line(line))
    for name, each in found.items():
        each.lines = by_id[slug(name)]
    assert not [line for line in side.gateway.log if line["level"] == "error"]
    return found


def at_rest(side: Side) -> dict[str, float]:
    """The metrics, once nothing runs any more."""

    def metrics() -> dict[str, float] | None:
        lines = (line.rpartition(" ") for line in read(side.gateway.port).splitlines() if line and line[0] != "#")
        found = {name: float(value) for name, _, value in lines}
        return None if found["llm_gateway_active_requests"] else found

    return eventually(metrics) or {}


def asked(seen: Seen) -> tuple[str, str, dict[str, str], bytes]:
    """A request as it reached the provider, less the provider's own address."""
    return seen.method, seen.path, {**seen.headers, "host": "HOST"}, seen.body


def heard(name: str, fast: Taken, aiohttp: Taken) -> str:
    """What the client hears is the same, but for what docs/lanes.md says of this very case."""
    same, excuses = judged(CASES[name], fast.outcome, aiohttp.outcome)
    if same and set(excuses) <= EXCUSED.get(name, set()) and fast.outcome.end == "closed":
        return ""
    return f"{excuses}\n{normal.outcome(fast.outcome)}\n{normal.outcome(aiohttp.outcome)}"


def asked_alike(name: str, fast: Taken, aiohttp: Taken) -> str:
    """Once more, if a kept connection turned out to be dead: whether there was one depends on the case before."""
    both = fast.asked, aiohttp.asked
    if name.partition(": ")[2] in ("gone", "reset at once"):
        both = both[0][:1], both[1][:1]
    return "" if both[0] == both[1] else f"{both}"


def written(name: str, fast: Taken, aiohttp: Taken) -> str:
    """The access lines."""
    if name in REWORDED:
        for line in (*fast.lines, *aiohttp.lines):
            del line["bytes_out"]
            if name.endswith("switching"):  # aiohttp takes 101 for an answer, the fast lane for none
                del line["attempts"][0]["status"]
    if fast.lines == aiohttp.lines and (fast.lines or name in UNWRITTEN):
        return ""
    return f"{fast.lines}\n{aiohttp.lines}"


def metered(name: str, fast: Taken, aiohttp: Taken) -> str:
    return "" if fast.moved == aiohttp.moved else f"{fast.moved}\n{aiohttp.moved}"


WRONG = (
    "cut before content",
    "cut",
    "reset",
    "cut at the length",
    "a short whole",
    "nonsense",
    "two lengths",
    "both framings",
    "switching",
)
# What docs/lanes.md says of these, and of no other case.
EXCUSED = {
    **{name: {"an offered upgrade"} for name in CASES if name.startswith("an upgrade")},
    **{f"{kind}: {act}": {"a broken answer's reason"} for kind in ("whole", "stream") for act in WRONG},
    "a little too much": {"an unread body"},
    "too much in chunks": {"an unread body"},
    "a page with a body": {"an unread body"},
    "HTTP/1.0, a page": {"HTTP/1.0"},
    "HTTP/1.0, a stream": {"HTTP/1.0"},
    "HTTP/1.0, kept, a stream": {"HTTP/1.0"},
    "HTTP/1.0 without a Host": {"HTTP/1.0"},
    "trailers": {"chunks with something behind them"},
    "chunks byte by byte": {"chunks with something behind them"},
    "extensions": {"chunks with something behind them"},
}
REWORDED = {name for name, excuses in EXCUSED.items() if "a broken answer's reason" in excuses} | {"stream: silence"}
UNWRITTEN = {"nothing", "headers of everybody", "HTTP/1.0 without a Host"}  # or under another id
