"""A program of this folder in a process of its own: what it says comes line by line, and it ends with its test."""

from __future__ import annotations

import json
import queue
import resource
import subprocess
import sys
import threading
from typing import Any

PATIENCE = 300.0


class Program:
    """``python -m tests.soak.NAME ARGUMENTS`` until the ``with`` block ends. It says one JSON value a line."""

    def __init__(self, name: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", f"tests.soak.{name}", *map(str, arguments)]
        self._said: queue.Queue[Any] = queue.Queue()

    def __enter__(self) -> Program:
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def says(self, ceiling: float = PATIENCE) -> Any:
        """What it says next."""
        said = self._said.get(timeout=ceiling)
        assert said is not EOFError, f"{self._command} has ended with {self.process.wait(10)}"
        return said

    def asked(self) -> Any:
        """What it says to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.says()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put(EOFError)


def say(value: object) -> None:
    """Of a program, to its test."""
    print(json.dumps(value), flush=True)


def many_files() -> None:
    """As many descriptors as we may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
