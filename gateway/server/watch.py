"""Which workers have been silent for too long. Plain numbers: seconds of the monotonic clock.

A worker stamps its heartbeat from its event loop. One that is stopped, or whose loop hangs, falls silent, and so do
the connections that wait in its queue: so it is found within `timeout` of its last sign, the interval between two
looks included.

Whoever looks may itself have been stopped, or have been kept waiting: a laptop's lid, a paused machine, a frozen
container. Then everybody's last sign is old, and nobody is to blame. So when a look comes late, all of them are given
the whole `timeout` anew.
"""

from __future__ import annotations

from collections.abc import Mapping

BEATS = 5  # in `timeout`, at least
LOOKS = 10
SELDOM = 1.0  # seconds between two of either, at most


class Watch:
    """`look` is asked every `interval` seconds."""

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout
        self._from = now
        self._looked = now

    @property
    def interval(self) -> float:
        return min(SELDOM, self._timeout / LOOKS)

    def change(self, timeout: float, now: float) -> None:
        """Another timeout; who is alive keeps to the old rhythm until its next sign, which must not be missed."""
        if timeout != self._timeout:
            self._from = now + beat_interval(self._timeout)
            self._timeout = timeout

    def look(self, now: float, beats: Mapping[int, float]) -> list[int]:
        """The slots whose worker is to be replaced, by the time of each one's last sign."""
        late = now - self._looked > self.interval + self._timeout / 4
        self._looked = now
        if late:
            self._from = max(self._from, now)
        patience = self._timeout - self.interval
        return [slot for slot, beat in beats.items() if now - max(beat, self._from) >= patience]


def beat_interval(timeout: float) -> float:
    """Seconds between two signs of life."""
    return min(SELDOM, timeout / BEATS)
