"""What /metrics says all through a test: counters and buckets may only grow, whichever worker answers.

A thread of its own asks again and again, over a new connection each time, so that the kernel chooses the worker.
An answer that does not come is counted, no more: it is another test's business.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from tests.harness.waiting import eventually


@dataclass(frozen=True, slots=True)
class Fall:
    """A number that must never fall, and did."""

    series: str
    before: float
    after: float


def read(port: int, path: str = "/metrics") -> str:
    """A page, over a connection of its own. OSError or HTTPException when there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def only_growing(text: str) -> Iterator[tuple[str, float]]:
    """The series of counters and histograms."""
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split()
            kinds[family] = kind
        elif line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name = series.partition("{")[0]
            plain = {name, *(name.removesuffix(end) for end in ("_bucket", "_count", "_sum"))}
            if any(kinds.get(each) in ("counter", "histogram") for each in plain):
                yield series, float(value)


class Sampling:
    """Runs in its ``with`` block."""

    def __init__(self, port: int, *, pause: float = 0.05) -> None:
        self.falls: list[Fall] = []
        self.samples = self.unanswered = 0
        self.last: dict[str, float] = {}
        self._port, self._pause = port, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampling:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def goes_on(self) -> None:
        """Wait for a sample that began after now."""
        enough = self.samples + 2
        eventually(lambda: self.samples >= enough, what="an answer of /metrics")

    def never_fell(self) -> None:
        assert self.samples > 1
        assert not self.falls, self.falls[:5]

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                found = dict(only_growing(read(self._port)))
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                continue
            for series, before in self.last.items():
                if found.get(series, 0.0) < before:
                    self.falls.append(Fall(series, before, found.get(series, 0.0)))
            self.last |= found
            self.samples += 1
