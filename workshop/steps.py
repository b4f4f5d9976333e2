"""`make sanitize`, the half without Python: the steps over shared memory as C programs in tests/_fast/steps.

* A program called *_threads.c runs its steps in threads under ThreadSanitizer, which sees no race between
  processes and cannot join AddressSanitizer. The others (crash, interleaving) run under address,undefined.
* Each program is its own proof: it ends with 0, within CEILING, and the first report of a sanitizer ends it.
* race.c must be reported before a clean run counts for anything.
* On a kernel with many random address bits, ThreadSanitizer of older compilers cannot place its shadow
  memory: then the program is run once more under `setarch -R`, where addresses are not random.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from workshop import machine
from workshop.parts import Part, Trouble

PROGRAMS = Path("tests/_fast/steps")
RACE = Path(__file__).with_name("race.c")
BUILT = Path("build/steps")
CEILING = 300.0  # seconds; on an idle machine they need a few
PLACELESS = "unexpected memory mapping"
COMPILE = ("-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-pthread", "-Wall", "-Wextra", "-Igateway/_fast")
PLAIN = "-U_FORTIFY_SOURCE"  # its check of longjmp takes an explorer's change of stacks for an error
ENVIRON = {
    "TSAN_OPTIONS": "halt_on_error=1",
    "ASAN_OPTIONS": "halt_on_error=1:detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def lanes(folder: Path = PROGRAMS, count: int | None = None) -> list[list[Part]]:
    """A part per program, dealt out to so many lanes."""
    sources = sorted(folder.glob("*.c"))
    parts = [Part(f"steps {source.stem} ({sanitizers(source)})", partial(prove, source)) for source in sources]
    if any(_threaded(source) for source in sources):
        parts.insert(0, Part("steps race (thread, must be reported)", race_is_seen))
    width = count or len(os.sched_getaffinity(0))
    return [lane for lane in (parts[first::width] for first in range(width)) if lane]


def sanitizers(source: Path) -> str:
    return "thread" if _threaded(source) else "address,undefined"


def race_is_seen() -> None:
    done = run(build(RACE, "thread"))
    if done.returncode == 0 or "data race" not in done.stdout:
        raise Trouble(
            f"{done.stdout}\nThreadSanitizer does not report a plain race here, so its silence proves nothing"
        )


def prove(source: Path) -> None:
    """Compile and run one program; Trouble tells what it said."""
    done = run(build(source, sanitizers(source)))
    if done.returncode:
        raise Trouble(f"{done.stdout.rstrip()}\n{source.name} ended with {done.returncode}")


def build(source: Path, kinds: str) -> Path:
    BUILT.mkdir(parents=True, exist_ok=True)
    program = BUILT / source.stem
    command = [machine.COMPILER, *COMPILE, PLAIN, f"-fsanitize={kinds}", str(source), "-o", str(program), "-lm"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Trouble(f"{done.stdout.rstrip()}\n{source.name} does not compile with -fsanitize={kinds}")
    return program


def run(program: Path, ceiling: float = CEILING) -> subprocess.CompletedProcess[str]:
    """Run it; again with addresses that are not random where the sanitizer needs them so."""
    done = _run([str(program.absolute())], ceiling)
    if done.returncode and PLACELESS in done.stdout:
        print(f"{program.name}: no place for the shadow memory, once more under setarch -R", flush=True)
        done = _run(["setarch", "-R", str(program.absolute())], ceiling)
    return done


def _run(command: Sequence[str], ceiling: float) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **ENVIRON}
    environ.pop("LD_PRELOAD", None)
    try:
        return subprocess.run(
            command,
            check=False,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=ceiling,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode(errors="replace")
        raise Trouble(f"{said}\n{command[-1]} did not end within {ceiling:.0f} s") from None


def _threaded(source: Path) -> bool:
    return source.stem.endswith("_threads")
