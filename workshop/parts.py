"""Parts of a run: a command with a name, timed; lanes of parts run side by side.

A part that passes shows one line, a part that fails shows everything it said. A lane goes on after a
failure: one run reports every problem.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class Trouble(Exception):
    """Something foreseen is wrong; the text says what, and the cure."""


@dataclass
class Part:
    """One command, or one function that raises Trouble when it fails."""

    name: str
    command: Sequence[str] | Callable[[], None]
    environ: dict[str, str] = field(default_factory=dict)
    directory: Path = Path()
    quote: str = ""  # a line of the output that starts so is shown although the part passed
    code: int = 0
    seconds: float = 0.0
    output: str = ""

    def run(self) -> None:
        """Run it silently; `code`, `seconds` and `output` tell how it went."""
        began = time.monotonic()
        try:
            self.code, self.output = self._outcome()
        except (Trouble, OSError) as trouble:
            self.code, self.output = 1, str(trouble)
        self.seconds = time.monotonic() - began

    def _outcome(self) -> tuple[int, str]:
        if callable(self.command):
            self.command()
            return 0, ""
        with tempfile.TemporaryFile() as said:  # a pipe would stay open as long as anybody whom the command left behind
            done = subprocess.run(
                self.command,
                check=False,
                env={**os.environ, **self.environ},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            said.seek(0)
            return done.returncode, said.read().decode(errors="replace")

    def show(self) -> int:
        """Run it on this terminal."""
        assert not callable(self.command)
        done = subprocess.run(self.command, check=False, env={**os.environ, **self.environ}, cwd=self.directory)
        return done.returncode

    def report(self) -> str:
        """What the reader should see of it."""
        said = self.output.rstrip()
        if self.code:
            return f"{said}\n{self.name}: FAILED after {self.seconds:.1f} s"
        quoted = [line for line in said.splitlines() if self.quote and line.startswith(self.quote)]
        return "\n".join([*quoted, f"{self.name}: ok in {self.seconds:.1f} s"])


def run_lanes(lanes: Sequence[Sequence[Part]]) -> int:
    """Run the lanes side by side, each one's parts in order; 1 if any part failed."""
    speaking = threading.Lock()

    def walk(lane: Sequence[Part]) -> None:
        for part in lane:
            part.run()
            with speaking:
                print(part.report(), flush=True)

    threads = [threading.Thread(target=walk, args=(lane,), daemon=True) for lane in lanes[1:]]
    for thread in threads:
        thread.start()
    for lane in lanes[:1]:
        walk(lane)
    for thread in threads:
        thread.join()
    return int(any(part.code for lane in lanes for part in lane))


def must(command: Sequence[str], cure: str, **environ: str) -> None:
    """Run a command of which only a failure is worth reading."""
    part = Part(command[0], command, environ)
    part.run()
    if part.code:
        raise Trouble(f"{part.output.rstrip()}\n{' '.join(command)} failed; {cure}")
