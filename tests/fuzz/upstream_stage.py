"""The stage of `UpstreamConnection`: a provider's bytes in any pieces, and somebody who asks as gateway/upstream does.

    ask MANNER N    send a request with N bytes of body and take its answer, if the connection is free; how:
        patient     every part is taken at once                 raising N   what takes the parts fails at the Nth
        slow N      every Nth part is waited for (`go`)         closing N   … closes the answer at the Nth
        lazy N      the same, with a coroutine to wait for      early       close when the head is here
        late        nobody takes anything before `go`
    cancel          whoever asks is cancelled
    close           the connection is closed by its pool

What must hold: every request ends once, in one way, and not by itself while nothing came; the pool is given the
connection only after a whole answer that allows it, and is told of its end once; no part comes while the part before
is waited for, or after the end; what is not taken is bounded. What h11 reads from the same bytes is the same answer,
and where we keep the connection h11 would keep it, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from dataclasses import dataclass, field

from gateway._fast import AnswerBroken, AnswerLost, AnswerRefused, UpstreamAnswer, UpstreamConnection
from tests.fuzz import second_opinion
from tests.fuzz.scenario import Event
from tests.fuzz.stage import Breach, Outcome, Stage

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: provider\r\n"
HELD_MOST = 65536 + 65536  # what may wait while nobody takes it, and a head; and the read that was too much
DEPENDS_ON_READS = ("slow", "lazy", "raising", "closing")


@dataclass(eq=False)
class Asked:
    """One request and what became of it."""

    manner: str
    every: int
    begin: int  # where in what the connection was given its answer begins
    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    ending: str = ""
    why: str = ""
    parts: int = 0
    waiting: bool = False
    given: int = 0  # where in what the connection was given it was free again; 0: never
    task: asyncio.Task[None] | None = None


class UpstreamStage(Stage):
    vocabulary = (
        *(("ask", "patient", number) for number in (1, 1, 1, 70000)),
        *(("ask", manner, number) for manner in ("slow", "lazy", "raising", "closing") for number in (1, 2)),
        *(("ask", "late", 1), ("ask", "early", 1), ("cancel",), ("close",)),
    )

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.lost_told = 0
        self._sizes: list[int] = []
        super().__init__()

    def make(self) -> asyncio.Protocol:
        return UpstreamConnection(self.loop.as_asked(), owner=self)

    # the pool

    def give(self, connection: UpstreamConnection, patience: float) -> None:
        asked = self.asked[-1]
        if self.lost_told:
            raise Breach("given back after it was lost")
        if asked.given:
            raise Breach("given back twice")
        asked.given = len(self.transport.inward)

    def lost(self, connection: UpstreamConnection) -> None:
        self.lost_told += 1

    # the events

    def own(self, event: Event) -> None:
        match event:
            case ("ask", str(manner), *numbers):
                size = next((number for number in numbers if isinstance(number, int)), 1)
                self._ask(manner, max(size, 1))
            case ("cancel", *_) if self.asked and (task := self.asked[-1].task) is not None:
                task.cancel()
            case ("close", *_) if not self.asked or self.asked[-1].task is None:
                self.connection.close()

    def _ask(self, manner: str, number: int) -> None:
        self.loop.rest()
        busy = self.asked and self.asked[-1].task is not None
        if busy or not self.connection.usable or (self.asked and not self.asked[-1].given):
            return
        asked = Asked(manner, number, len(self.transport.inward))
        self.asked.append(asked)
        asked.task = self.loop.create_task(self._exchange(asked, bytes(number % 100_000)))
        asked.task.add_done_callback(self.escaped)
        self.loop.rest()

    async def _exchange(self, asked: Asked, body: bytes) -> None:
        """As `FastUpstream` does it."""
        connection: UpstreamConnection = self.connection
        before = len(self.transport.out) + self.transport.get_write_buffer_size()
        connection.send(HEAD, body)
        sent = len(self.transport.out) + self.transport.get_write_buffer_size() - before
        self._sizes.append(sent)
        if sent != len(HEAD) + len(b"content-length: %d\r\n\r\n" % len(body)) + len(body) and not self.transport.lost:
            raise Breach(f"{sent} bytes of a request were written")
        try:
            answer = await connection.head()
            asked.status = answer.status
            await self._take(asked, answer)
            self._ends(asked, "whole")
        except AnswerLost as lost:
            self._ends(asked, "lost", str(lost.begun))
        except AnswerRefused as refused:
            self._ends(asked, "refused", str(refused))
        except AnswerBroken as broken:
            self._ends(asked, "broken", str(broken))
        except asyncio.CancelledError:
            self._ends(asked, "cancelled")
        except Expected as expected:
            self._ends(asked, str(expected))
        finally:
            if asked.ending != "whole" and asked.status == 0:
                connection.close()
            asked.task = None

    async def _take(self, asked: Asked, answer: UpstreamAnswer) -> None:
        def feed(part: bytes) -> Awaitable[None] | None:
            if asked.waiting or asked.ending:
                raise Breach("a part came while another was waited for, or after the end")
            if not part:
                raise Breach("a part without a byte")
            asked.body += part
            asked.parts += 1
            if asked.parts % asked.every:
                return None
            if asked.manner == "raising":
                raise Expected("raised")
            if asked.manner == "closing":
                answer.close()
            if asked.manner == "lazy":
                return self._lazily(asked)
            return self._waited(asked) if asked.manner == "slow" else None

        try:
            if not all(name == name.lower() for name in answer.headers):
                raise Breach(f"names {list(answer.headers)}")
            answer.encoding  # noqa: B018
            if asked.manner == "early":
                raise Expected("early")
            if asked.manner == "late":
                await self.wait()
                asked.manner = "patient"
            await answer.push(feed)
        finally:
            answer.close()
            answer.close()

    def _waited(self, asked: Asked) -> asyncio.Future[None]:
        asked.waiting = True
        wait = self.wait()
        wait.add_done_callback(lambda _: setattr(asked, "waiting", False))
        return wait

    async def _lazily(self, asked: Asked) -> None:
        asked.waiting = True
        try:
            await self.wait()
        finally:
            asked.waiting = False

    def _ends(self, asked: Asked, ending: str, why: str = "") -> None:
        if asked.ending:
            raise Breach(f"ended twice: {asked.ending}, then {ending}")
        asked.ending, asked.why = ending, why

    # what must hold

    def check(self) -> None:
        if self.lost_told > 1:
            raise Breach("lost twice")
        asked = self.asked[-1] if self.asked else Asked("patient", 1, 0)
        came = len(self.transport.inward)
        if asked.task is None and came > asked.given and not self.transport.is_closing():
            raise Breach("bytes that nobody asked for, and the connection stays")
        waiting = asked.manner == "late" and self.connection.usable
        if waiting and came - asked.begin > HELD_MOST + self.transport.last_read:
            raise Breach("what nobody takes is read without bounds")
        if asked.given and asked.ending not in ("whole", "early", "cancelled", "raised", ""):
            raise Breach(f"given back after it was {asked.ending}")

    def over(self) -> Outcome:
        for asked in self.asked:
            if asked.task is not None or not asked.ending:
                raise Breach("somebody waits for an answer for ever")
        if self.lost_told != 1:
            raise Breach(f"its pool was told {self.lost_told} times that it is lost")
        for number, asked in enumerate(self.asked):
            end = asked.given or (self.asked[number + 1].begin if number + 1 < len(self.asked) else None)
            ended = self.transport.ended and not asked.given
            second_opinion.of_answer(asked, bytes(self.transport.inward[asked.begin : end]), ended)
        seen: list[Hashable] = [(asked.ending, asked.status, bytes(asked.body)) for asked in self.asked]
        words = {f"{asked.ending} {asked.why} {asked.given > 0} {asked.parts > 1}" for asked in self.asked}
        exact = not any(asked.manner in DEPENDS_ON_READS for asked in self.asked)
        return Outcome(tuple(seen), frozenset({*words, f"asked {min(len(self.asked), 3)}"}), exact)


class Expected(Exception):
    """What the scenario wants."""
