"""`make test`: set-up, then the checks beside the trace build, then the suite alone on the machine.

The suite runs alone because its tests start real servers, and a test that waits for one should not
compete with a type checker. CI reads pytest's closing line, so that line is held back until the
coverage and the times by part have been printed: it is the last line of the run.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from workshop import checks, core, environment, machine
from workshop.environment import PYTHON
from workshop.parts import Part, run_lanes

WORKERS = min(4, max(2, len(os.sched_getaffinity(0))))
LEAST_COVERAGE = 85
DATA = Path("build/coverage/.coverage").absolute()


def everything() -> int:
    began = time.monotonic()
    set_up = _set_up()
    if any(part.code for part in set_up):
        return 1
    looked = [checks.parts(), core.trace_parts()]
    run_lanes(looked)
    tests, closing = run_tests()
    measured = coverage_parts()
    run_lanes([measured])
    parts = [*set_up, *looked[0], *looked[1], tests, *measured]
    print(times(parts, time.monotonic() - began))
    print(closing, flush=True)
    return int(any(part.code for part in parts))


def _set_up() -> list[Part]:
    """Debian's packages and npm's beside pip's; compilers first, because pip needs them."""
    machine.offer(machine.BUILD_NEEDS)
    debian = [
        Part("Debian packages", lambda: machine.offer(machine.TEST_NEEDS)),
        Part("npm packages", environment.install_node),
    ]
    python = [Part("Python packages and build", lambda: environment.ready(tests=True))]
    run_lanes([python, debian])
    return [*python, *debian]


def run_tests() -> tuple[Part, str]:
    """Stream pytest's output, less its last line, which is returned."""
    shutil.rmtree(DATA.parent, ignore_errors=True)
    DATA.parent.mkdir(parents=True)
    command = [
        PYTHON,
        "-m",
        "coverage",
        "run",
        "-m",
        "pytest",
        "-n",
        str(WORKERS),
        "-rfEs",
        "--durations=5",
        "--benchmark-disable",
    ]
    part = Part("tests", command, {"COVERAGE_FILE": str(DATA)})
    began = time.monotonic()
    environ = {**os.environ, **part.environ}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as pytest:
        closing = all_but_last(lines(pytest))
    part.code, part.seconds = pytest.returncode, time.monotonic() - began
    return part, closing


def lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """What it says, until it has ended: whom it left behind may hold the pipe open for ever."""
    assert process.stdout is not None
    pipe, unfinished = process.stdout.fileno(), b""
    while True:
        ended = process.poll() is not None
        if not select.select([pipe], [], [], 0 if ended else 0.2)[0]:
            if ended:
                break
            continue
        data = os.read(pipe, 65536)
        if not data:
            break
        *whole, unfinished = (unfinished + data).split(b"\n")
        yield from (line.decode(errors="replace") + "\n" for line in whole)
    if unfinished:
        yield unfinished.decode(errors="replace")


def all_but_last(lines: Iterable[str]) -> str:
    """Print every line but the last that is not blank (and what follows it), and return that one."""
    held: list[str] = []
    for line in lines:
        if line.strip():
            print("".join(held), end="", flush=True)
            held.clear()
        held.append(line)
    return held[0].strip() if held else ""


def coverage_parts() -> list[Part]:
    coverage, data = [PYTHON, "-m", "coverage"], {"COVERAGE_FILE": str(DATA)}
    return [
        Part("coverage combine", [*coverage, "combine", "-q"], data),
        Part("coverage report", [*coverage, "report", f"--fail-under={LEAST_COVERAGE}"], data, quote="TOTAL"),
    ]


def times(parts: Sequence[Part], total: float) -> str:
    """The time by part, and what failed."""
    width = max(len(name) for name in ("in all", *(part.name for part in parts)))
    lines = [f"  {part.name:<{width}}  {part.seconds:6.1f} s{'  FAILED' if part.code else ''}" for part in parts]
    return "\n".join(
        ["", "time by part (some ran side by side):", *lines, f"  {'in all':<{width}}  {total:6.1f} s", ""]
    )
