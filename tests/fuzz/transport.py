"""A transport whose other side is the stage: it behaves as uvloop's do.

What is written leaves at once, unless the other side takes nothing (`stall`): then it waits, and the protocol is
paused at the high mark and resumed at the low one, within the call that passes it. What comes while nobody reads
waits, too, and an end is not seen before all that came before it. `close` lets go what waits, `abort` does not; both
end in `connection_lost`, once, in a later turn. After either nothing is received any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from tests.fuzz.turns import TurnLoop

HIGH = 65536
PEER = ("127.0.0.1", 50000)
END = b""


class FuzzTransport(asyncio.Transport):
    def __init__(self, loop: TurnLoop, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": PEER, "sockname": ("127.0.0.1", 8080)})
        self._loop = loop
        self._protocol: asyncio.Protocol | None = protocol
        self.out = bytearray()  # what the other side has taken
        self.shut = False  # our side has said that it is done
        self.lost = False
        self.dropped = False  # something that was written never left
        self.inward = bytearray()  # what the protocol has been given
        self.last_read = 0
        self.ended = False  # the protocol knows that the other side is done
        self._inbox: deque[bytes] = deque()
        self._outbox = bytearray()
        self._reading = True
        self._stalled = self._paused = self._closing = False
        self._high, self._low = HIGH, HIGH // 4

    # for a stage

    def receive(self, data: bytes) -> None:
        """Bytes come; END: the other side says that it is done."""
        self._inbox.append(data)
        self._deliver()

    def reset(self) -> None:
        """The other side is gone."""
        if not self._closing:
            self._drop(ConnectionResetError("reset"))

    def stall(self) -> None:
        self._stalled = True

    def take(self, count: int | None = None) -> None:
        """The other side takes some of what waits, or all of it and whatever comes."""
        if count is None:
            self._stalled = False
            count = len(self._outbox)
        if self.lost:
            return
        self.out += self._outbox[:count]
        del self._outbox[:count]
        if self._paused and len(self._outbox) <= self._low and self._protocol is not None:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not self._outbox:
            self._loop.call_soon(self._lose, None)

    @property
    def unseen(self) -> int:
        """Bytes that came, and that nobody has read."""
        return sum(map(len, self._inbox))

    # what protocols ask

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert isinstance(data, bytes | bytearray | memoryview), data
        assert not self.shut, "written after write_eof()"
        if self._closing:
            self.dropped = True
            return
        if not self._stalled:
            self.out += data
            return
        self._outbox += data
        if len(self._outbox) > self._high and not self._paused and self._protocol is not None:
            self._paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self.shut = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._outbox:
                self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        if not self.lost:
            self._drop(None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return len(self._outbox)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self._protocol)

    # within

    def _deliver(self) -> None:
        while self._inbox and self._reading and not self._closing and not self.ended and self._protocol is not None:
            data = self._inbox.popleft()
            if data:
                self.inward += data
                self.last_read = len(data)
                self._protocol.data_received(data)
                continue
            self.ended = True
            if not self._protocol.eof_received():
                self.close()

    def _drop(self, problem: Exception | None) -> None:
        self._closing = True
        self.dropped = self.dropped or bool(self._outbox)
        self._outbox.clear()
        self._loop.call_soon(self._lose, problem)

    def _lose(self, problem: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        self._inbox.clear()
        if protocol is not None:
            self.lost = True
            protocol.connection_lost(problem)
