"""The Makefile's targets. Each returns its exit status."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from workshop import checks, core, environment, machine, steps, suite
from workshop.fuzz import fuzz as search
from workshop.parts import Part, Trouble, run_lanes

VENV = environment.VENV
BUILT = ("build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis")


def run() -> int:
    """Replace this process by the gateway, so that a signal meets the gateway and nothing else."""
    environment.ready()
    command = [str(VENV / "bin/llm-gateway"), "run", "--config", "config/default.yaml"]
    os.execv(command[0], command)


def build() -> int:
    environment.ready()
    return 0


def test() -> int:
    return suite.everything()


def check() -> int:
    environment.ready(tests=True)
    return run_lanes([checks.parts()])


def soak() -> int:
    machine.offer(machine.TEST_NEEDS)
    environment.ready(tests=True)
    return Part("soak", [str(VENV / "bin/python"), "-m", "pytest", "-m", "soak", "-rfEs"]).show()


def bench() -> int:
    machine.offer(machine.BENCH_NEEDS)
    environment.ready(tests=True)
    return Part("bench", [str(VENV / "bin/python"), "-m", "benchmarks"]).show()


def debug() -> int:
    environment.ready(tests=True, kind="debug")
    print(f"gateway/_fast is now the debug build; for gdb: gdb --args {VENV}/bin/python -m gateway run")
    return 0


def trace() -> int:
    environment.ready(tests=True)
    return run_lanes([core.trace_parts()])


def sanitize() -> int:
    machine.offer(machine.sanitizers())
    environment.ready(tests=True)
    return run_lanes([core.sanitize_parts(), *steps.lanes()])


def fuzz() -> int:
    environment.ready(tests=True)
    return search()


def lock() -> int:
    environment.ready(tests=True)
    environment.write_lock()
    return 0


def clean() -> int:
    made = [Path(name) for name in BUILT]
    made += [found for mask in ("*.so", "*.c", "*.html") for found in Path("gateway/_fast").glob(mask)]
    made += Path("gateway").rglob("*.so")
    made += [*Path("benchmarks/results").glob("*.json"), *Path().glob("*.egg-info"), *Path().glob(".coverage*")]
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return 0


def guarded(target: Callable[[], int]) -> Callable[[], int]:
    """A foreseen trouble ends in its one sentence, not in a traceback."""

    def call() -> int:
        try:
            return target()
        except Trouble as trouble:
            print(trouble, flush=True)
            return 1

    return call


TARGETS = {
    target.__name__: guarded(target)
    for target in (run, build, test, check, bench, soak, debug, trace, sanitize, fuzz, lock, clean)
}
