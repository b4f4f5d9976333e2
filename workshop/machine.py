"""What must be on the machine, by the name of its Debian package.

`make run` never changes the machine: it names what is missing. `make test` and `make bench` install
what they need when they are root and there is apt-get, and say so; else the tests that need it skip.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

from workshop.parts import Trouble, must

Needs = Mapping[str, Callable[[], bool]]


def program(name: str) -> Callable[[], bool]:
    """Is it there? Debian keeps servers in sbin, which a plain user's PATH lacks."""
    return lambda: shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is not None


def _headers() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def _venv() -> bool:
    importlib.invalidate_caches()  # it may just have been installed
    return importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None


COMPILER = os.environ.get("CC", "gcc").split()[0]
BUILD_NEEDS: Needs = {
    "python3-venv": _venv,
    "python3-dev": _headers,
    "gcc": program(COMPILER),
    "make": program("make"),
}
TEST_NEEDS: Needs = {
    "nginx": program("nginx"),
    "wrk": program("wrk"),
    "nodejs": program("node"),
    "npm": program("npm"),
}
BENCH_NEEDS: Needs = {"nginx": program("nginx"), "wrk": program("wrk"), "openssl": program("openssl")}


def sanitizers() -> Needs:
    """The libraries of -fsanitize, in the package of this compiler's version."""
    version = _asked("-dumpversion").partition(".")[0] or "12"
    libraries = [f"lib{name}.so" for name in ("asan", "ubsan", "tsan")]
    return {
        f"libgcc-{version}-dev": lambda: all(Path(_asked(f"-print-file-name={name}")).exists() for name in libraries)
    }


def _asked(option: str) -> str:
    """What gcc answers: of a library that it has a path, of another one only the name."""
    try:
        done = subprocess.run([COMPILER, option], check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def missing(needs: Needs) -> list[str]:
    return [package for package, there in needs.items() if not there()]


def require_build() -> None:
    """Refuse to go on without what installing and compiling need."""
    lacking = missing(BUILD_NEEDS)
    if lacking:
        raise Trouble(f"missing on this machine: {', '.join(lacking)}\ncure: {cure(lacking)}")


def offer(needs: Needs) -> None:
    """Install what is missing if we may; if not, say what will be left out."""
    lacking = missing(needs)
    if not lacking:
        return
    if os.geteuid() != 0 or not program("apt-get")():
        print(f"missing, so what needs it is left out: {', '.join(lacking)} ({cure(lacking)})", flush=True)
        return
    print(f"installing from Debian's packages: {', '.join(lacking)}", flush=True)
    try:
        _apt_install(lacking)
    except Trouble as trouble:
        print(f"{trouble}\nso what needs them is left out: {', '.join(missing(needs))}", flush=True)


def cure(packages: list[str]) -> str:
    """The line to paste. A Python that Debian did not build has its headers elsewhere."""
    line = f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install {' '.join(packages)}"
    ours = {"python3-venv", "python3-dev"}.intersection(packages)
    return f"{line} (for {sys.executable}, if it is not Debian's own)" if ours else line


def _apt_install(packages: list[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    must(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"], "is there a network?", **quiet)
    install = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"]
    must([*install, *packages], "see above", **quiet)
