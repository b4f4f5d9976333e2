"""Programs in C over the steps of the compiled core: built for a test, run, and what they said.

ThreadSanitizer of older compilers cannot place its memory on a kernel with many random address bits: then the program
is run once more where addresses are not random, which some containers forbid.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway import _fast

STEPS = Path(__file__).parent / "steps"
HEADERS = Path(_fast.__file__).parent
ENVIRON = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
CEILING = 300  # seconds
PLACELESS = "unexpected memory mapping"

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def built(name: str, folder: Path, *options: str) -> Path:
    program = folder / name
    warnings = ("-Wall", "-Wextra", "-Werror", f"-I{HEADERS}")
    output("gcc", "-g", *options, *warnings, STEPS / f"{name}.c", "-o", program, "-pthread", "-lm")
    return program


def output(*command: str | Path) -> str:
    """What it said; it has to end well."""
    done = _run(command)
    if done.returncode and PLACELESS in done.stderr:
        done = _run(("setarch", "-R", *command))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _run(command: tuple[str | Path, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRON, timeout=CEILING)
