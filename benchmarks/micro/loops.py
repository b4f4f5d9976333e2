"""How an operation of some ten nanoseconds is measured: many calls in a row, an empty call beside it, a second process.

* One round is 200 times 50 calls written out one after the other (a twin's is 50), so the loop costs nearly nothing.
* The empty call is a compiled method without arguments and without a body, built here with the project's Cython.
* `beside` forks a process that does the same to the same cells all the time, pinned to another core than this one: left
  alone, the scheduler now and then runs both on one, where they take turns and never meet.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

ROW, ROWS, ROUNDS = 50, 200, 200
EMPTY = "cdef class Empty:\n    def call(self):\n        pass\n"
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

empty = Extension("empty_call", ["empty_call.pyx"], extra_compile_args=["-O2"])
setup(ext_modules=cythonize([empty], compiler_directives={"language_level": "3", "binding": True}))
"""


def in_a_row(call: Callable[..., object], arguments: tuple[object, ...], rows: int = ROWS) -> Callable[[], None]:
    """A function that calls it ROW * rows times, the arguments being plain local names."""
    names = [f"a{i}" for i in range(len(arguments))]
    line = f"        call({', '.join(names)})\n"
    source = f"def run(call, {''.join(name + ', ' for name in names)}):\n    for _ in range({rows}):\n{line * ROW}"
    made: dict[str, Any] = {}
    exec(source, made)
    run = made["run"]
    return lambda: run(call, *arguments)


def measure(
    benchmark: BenchmarkFixture, call: Callable[..., object], *arguments: object, goal: str = "", rows: int = ROWS
) -> None:
    benchmark.extra_info.update(calls=ROW * rows, goal=goal)
    run = in_a_row(call, arguments, rows)
    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=3)  # type: ignore[no-untyped-call]


@contextmanager
def beside(join: Callable[[], object], call: Callable[..., object], *arguments: object) -> Iterator[None]:
    """`join` is done once in the second process: a worker has its own column."""
    before = os.sched_getaffinity(0)
    mine = {min(before)}
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with suppress(OSError):
                os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - mine or mine)
            join()
            run = in_a_row(call, arguments)
            run()
            os.write(write, b"runs")
            while True:
                run()
        finally:
            os._exit(1)
    os.close(write)
    try:
        assert os.read(read, 4) == b"runs", "the second process failed"
        os.sched_setaffinity(0, mine)
        yield
    finally:
        os.sched_setaffinity(0, before)
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def empty_call(folder: Path) -> Callable[[], None]:
    (folder / "empty_call.pyx").write_text(EMPTY)
    (folder / "setup.py").write_text(SETUP)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("empty_call").Empty().call  # type: ignore[no-any-return]
    finally:
        sys.path.remove(str(folder))
