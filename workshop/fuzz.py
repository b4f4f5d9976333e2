"""`make fuzz`: both connection classes under fire, for FUZZ_SECONDS (120 if nobody says otherwise).

The compiled modules are built in build/fuzz with calls to a collector of edges (tests/fuzz/edges.c). Before anything
else the search must find a planted bug; else it is not guided, and its silence proves nothing. Then it searches both
classes side by side, each in a process of its own. One that dies or stands still is a finding, too: what it played is
written down. What was learned stays in build/fuzz/learned for the next time.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from workshop import core, machine
from workshop.environment import PYTHON
from workshop.parts import Part, Trouble, run_lanes

TREE = Path("build/fuzz")
SOURCES = Path("tests/fuzz")
NAMES = ("client", "upstream")
STILL = 30.0  # seconds for one scenario: they take a thousandth of one
LAST = 120.0  # seconds to end in, for making findings small


def fuzz() -> int:
    seconds = float(os.environ.get("FUZZ_SECONDS", "120"))
    parts = [
        Part("fuzz build", lambda: core.copy(TREE, "fuzz")),
        Part("fuzz collector", lambda: build_collector(TREE)),
        Part("fuzz guidance (must find the planted bug)", command("planted"), core.ours(TREE, "fuzz"), TREE),
    ]
    if run_lanes([parts]):
        return 1
    return watch([Running(name, seconds) for name in NAMES])


def build_collector(folder: Path) -> None:
    """The collector, and the planted bug with and without calls to it."""
    traced = ("-O1", "-fsanitize-coverage=trace-pc")
    for name, source, options in (
        ("edges", "edges", ("-O2",)),
        ("planted", "planted", traced),
        ("blind", "planted", ("-O1",)),
    ):
        target = [str(SOURCES / f"{source}.c"), "-o", str(folder / f"{name}.so")]
        built = Part(name, [machine.COMPILER, "-shared", "-fPIC", "-Wall", "-Wextra", *options, *target])
        built.run()
        if built.code:
            raise Trouble(f"{built.output}\n{source}.c does not compile")


def command(name: str, *options: str) -> list[str]:
    return [
        str(Path(PYTHON).absolute()),
        "-m",
        "tests.fuzz",
        name,
        "--edges",
        "edges.so",
        "--folder",
        "learned",
        *options,
    ]


@dataclass
class Running:
    """One search, and how far it had come when it was last looked at."""

    name: str
    seconds: float
    plays: int = 0
    moved: float = 0.0

    def __post_init__(self) -> None:
        options = ("--seconds", str(self.seconds))
        self._page.unlink(missing_ok=True)
        environ = {**os.environ, **core.ours(TREE, "fuzz")}
        self.moved = time.monotonic()
        self.process = subprocess.Popen(command(self.name, *options), env=environ, cwd=TREE, stdin=subprocess.DEVNULL)

    def look(self) -> bool:
        """Does it go on? One that stands still is ended, with its traceback."""
        if self.process.poll() is not None:
            return False
        plays, _ = self.now()
        if plays != self.plays:
            self.plays, self.moved = plays, time.monotonic()
        elif time.monotonic() - self.moved > max(STILL, LAST if plays == 0 else 0):
            print(f"{self.name} stands still", flush=True)
            self.process.send_signal(signal.SIGABRT)
            self._gone()
            return False
        return True

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self._gone()

    def _gone(self) -> None:
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def _page(self) -> Path:
        return TREE / "learned" / f"{self.name}.now"

    def now(self) -> tuple[int, str]:
        """How many scenarios it has played, and the last one."""
        page = self._page.read_bytes() if self._page.exists() else bytes(12)
        plays, size = struct.unpack_from("<QI", page)
        return plays, page[12 : 12 + size].decode(errors="replace")

    def ended(self) -> int:
        """Its status; what it played if it did not end by itself."""
        if self.process.returncode in (0, 1):
            return self.process.returncode
        file = TREE / "found" / f"{self.name}-{int(time.time())}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# ended with {self.process.returncode}\n{self.now()[1]}")
        print(f"{self.name} ended with {self.process.returncode}; what it played is in {file}", flush=True)
        return 1


def watch(searches: list[Running]) -> int:
    try:
        while any([search.look() for search in searches]):  # noqa: C419  each of them is looked at
            time.sleep(0.5)
    finally:
        for search in searches:
            search.stop()
    return max(search.ended() for search in searches)
