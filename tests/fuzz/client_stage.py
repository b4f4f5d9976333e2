"""The stage of `ClientConnection`: a client's bytes in any pieces, and a lane that answers as it is told
(`stub_lane.py`).

    lane MANNER N   how the next request is answered that nobody has said anything of
    cancel          the one that runs is cancelled, as a deadline or a drain does it
    sweep N         the sweep comes as if N seconds had passed since now
    cut             the connection is cut from within

What must hold: requests begin one after the other and end once; whoever runs when the client leaves is told, once;
what was written is HTTP as h11 reads it, with the answers that were given, in their order, whole unless the connection
was cut, and nothing behind one that says it is the last. What h11 reads as requests from the same bytes are the same
requests.
"""

from __future__ import annotations

import asyncio
import time

from gateway._fast import ClientConnection
from tests.fuzz import client_opinion
from tests.fuzz.scenario import Event, number_of
from tests.fuzz.stage import Breach, Outcome, Stage
from tests.fuzz.stub_lane import MANNERS, READS, StubLane

HEAD_MOST = 160 << 10
CLOCKS = {"served": 60.0, "fresh": 80.0, "head": 30.0, "stalled": 50.0}


class ClientStage(Stage):
    vocabulary = (
        *(("lane", manner, number) for manner in MANNERS for number in (1, 5)),
        *(("lane", "whole", 70000), ("lane", "stream", 50), ("lane", "paced", 50), ("lane", "length", 70000)),
        *(("sweep", number) for number in (0, 2, 20, 40, 100)),
        *(("cancel",), ("cut",)),
    )
    connection: ClientConnection

    def make(self) -> asyncio.Protocol:
        self.lane = StubLane(self.loop.as_asked(), self.wait)
        self.lane.read_so_far = lambda: len(self.transport.inward)
        self.lane.escaped = self.escaped
        self._exact = True
        return ClientConnection(self.lane)

    def own(self, event: Event) -> None:
        match event:
            case ("lane", str(manner), *numbers):
                number = next((number for number in numbers if isinstance(number, int)), 1)
                self.lane.manners.append((manner, max(0, number)))
                self._exact = self._exact and manner in READS
            case ("cancel", *_):
                self.lane.cancel()
            case ("cut", *_):
                self.connection.abort()
            case ("sweep", *_):
                self._exact = False
                self.connection.sweep(time.monotonic() + number_of(event), **CLOCKS)

    def check(self) -> None:
        if self.lane.trouble:
            raise Breach(self.lane.trouble)
        if self.connection.busy and not self.lane.served:
            raise Breach("busy with nothing")
        idle = not self.lane.served and not self.lane.refusals and not self.transport.is_closing()
        if idle and len(self.transport.inward.lstrip(b"\r\n")) > HEAD_MOST:
            raise Breach("a head without end is kept")

        if self.transport.lost and self.lane.served:
            last = self.lane.served[-1]
            if not (last.ending or last.spoken or last.gone):
                raise Breach("nobody was told that the client has left")

    def over(self) -> Outcome:
        lane = self.lane
        self.check()
        if (lane.joins, lane.leaves) != (1, 1):
            raise Breach(f"joined {lane.joins} times, left {lane.leaves} times")
        for served in lane.served:
            if not served.ending:
                raise Breach("a request never ends")
            if served.gone > 1:
                raise Breach("told twice that the client has left")
        if lane.refusals > 1:
            raise Breach("refused twice")
        if self.connection.busy:
            raise Breach("busy after its end")
        out, cut = bytes(self.transport.out), self.transport.dropped
        answers = client_opinion.of_output(out, cut, lane)
        client_opinion.of_requests(bytes(self.transport.inward), lane.served)
        words = {f"{each.manner} {each.ending} {each.gone} {each.status} {each.minor}" for each in lane.served}
        words |= {
            f"served {min(3, len(lane.served))} refused {lane.refusals and lane.reason} shut {self.transport.shut}"
        }
        seen = (*((each.method, each.target, each.body, each.status) for each in lane.served), tuple(answers))
        refused = any(each.status == 413 for each in lane.served)  # the rest of the body may be here already, or not
        return Outcome(seen, frozenset(words), self._exact and not refused)
