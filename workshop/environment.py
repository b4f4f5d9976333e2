"""The virtual environment and the compiled modules: made when missing, made again when their sources change.

What was done is written on stamps: digests of exactly the files that decide the outcome. A second run
compares digests, starts no other process and needs no network.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from workshop import machine
from workshop.parts import Part, Trouble, must

VENV = Path(".venv")
LOCK = Path("workshop/requirements.lock")
NODE = Path("tests/node")
PYTHON = str(VENV / "bin/python")


def ready(*, tests: bool = False, kind: str = "release") -> None:
    """Everything installed and compiled, in this order; at once when nothing changed."""
    Path("build").mkdir(exist_ok=True)
    with _alone():
        make_venv()
        install(tests=tests)
        compile_core(kind)


def make_venv() -> None:
    """A virtual environment that was made here, by this version of Python."""
    stamp = VENV / "made.stamp"
    wanted = digest([], str(Path.cwd()), sys.version)
    if stamped(stamp, wanted):
        return
    machine.require_build()
    if stamp.exists() or not _made_by_hand():
        _say("making .venv")
        must([sys.executable, "-m", "venv", "--clear", str(VENV)], "is the disk full?")
    stamp.write_text(wanted)


def _made_by_hand() -> bool:
    """A .venv without our stamp, but of this Python, is kept as it is."""
    settings = VENV / "pyvenv.cfg"
    return settings.exists() and f"version = {platform.python_version()}\n" in settings.read_text()


def install(*, tests: bool) -> None:
    """With pip: the dependencies, and `llm-gateway` in editable form; the test tools only when asked for."""
    facts = digest([Path("pyproject.toml"), LOCK], VENV.joinpath("made.stamp").read_text())
    with_tests = VENV / "installed-tests.stamp"
    stamp = with_tests if tests else VENV / "installed.stamp"
    if stamped(stamp, facts) or stamped(with_tests, facts):
        return
    _say("installing and compiling" + (" (with what the tests need)" if tests else ""))
    pip = [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
    cure = "is there a network, and does the index that pip uses have these packages?"
    must([*pip, *build_tools()], cure)
    # compat mode: a plain .pth file, which type checkers read and which costs nothing at start-up
    editable = ["--no-build-isolation", "--config-settings=editable_mode=compat", "-e", ".[test]" if tests else "."]
    forget_compiled()
    must([*pip, "-c", str(LOCK), *editable], cure, GATEWAY_BUILD="release")
    Path("build/compiled.stamp").write_text(core_digest("release"))  # pip has compiled them in place
    stamp.write_text(facts)


def build_tools() -> list[str]:
    """What pyproject.toml names under [build-system], installed first so that nothing is built in isolation."""
    requires = tomllib.loads(Path("pyproject.toml").read_text())["build-system"]["requires"]
    return [str(requirement) for requirement in requires]


def compile_core(kind: str, tree: Path = Path()) -> None:
    """Compile gateway/_fast in place, and for `release` what of the rest setup.py names."""
    stamp = tree / "build/compiled.stamp"
    wanted = core_digest(kind, tree)
    if stamped(stamp, wanted) and _modules_there(kind, tree):
        return
    machine.require_build()
    _say(f"compiling gateway/_fast ({kind})")
    forget_compiled(tree)
    command = [str(Path(PYTHON).absolute()), "setup.py", "-q", "build_ext", "--inplace"]
    options = ["--force", "--build-temp", "build/temp", "-j", str(os.cpu_count())]
    part = Part("compile", [*command, *options], {"GATEWAY_BUILD": kind}, tree)
    part.run()
    if part.code:
        raise Trouble(f"{part.output.rstrip()}\ngateway/_fast does not compile ({kind})")
    stamp.write_text(wanted)


def core_digest(kind: str, tree: Path = Path()) -> str:
    sources = sorted(path for mask in ("*.pyx", "*.pxd", "*.h") for path in tree.glob(f"gateway/_fast/{mask}"))
    if kind == "release":
        sources += [*plain_modules(tree), *sorted(tree.glob("gateway/*.pxd"))]
    return digest([tree / "setup.py", *sources], kind, sys.version)


def forget_compiled(tree: Path = Path()) -> None:
    """Compile always from nothing: file times lie after a checkout, digests do not."""
    for old in tree.glob("build/cython-*"):
        shutil.rmtree(old)
    for module in tree.glob("gateway/**/*.so"):
        module.unlink()


def plain_modules(tree: Path = Path()) -> list[Path]:
    """The Python that the release build compiles as it stands: setup.py names it."""
    assigned = next(
        node.value
        for node in ast.parse((tree / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PLAIN"
    )
    return [tree / f"gateway/{name}.py" for name in ast.literal_eval(assigned)]


def _modules_there(kind: str, tree: Path) -> bool:
    sources = [*tree.glob("gateway/_fast/*.pyx"), *(plain_modules(tree) if kind == "release" else ())]
    return all(any(path.parent.glob(f"{path.stem}.*.so")) for path in sources)


def install_node() -> None:
    """The npm package that the tests use as a client, if there is npm."""
    if not NODE.is_dir() or not machine.program("npm")():
        return
    stamp = NODE / "node_modules/installed.stamp"
    wanted = digest([NODE / "package.json", NODE / "package-lock.json"])
    if not stamped(stamp, wanted):
        must(
            ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(NODE)],
            "is there a network?",
        )
        stamp.write_text(wanted)


def write_lock() -> None:
    """Pin what is installed now, for everyone."""
    part = Part("freeze", [PYTHON, "-m", "pip", "freeze", "--exclude-editable"])
    part.run()
    if part.code:
        raise Trouble(part.output)
    pins = [line for line in part.output.splitlines() if re.fullmatch(r"[\w.\[\]-]+==\S+", line)]
    LOCK.write_text(
        "\n".join(["# Constraints for pip, written by `make lock`: what the tests last ran with.", *pins, ""])
    )


def digest(files: Iterable[Path], *facts: str) -> str:
    """One line that changes whenever a file's content, or a fact, does."""
    total = hashlib.sha256(repr(facts).encode())
    for path in files:
        content = path.read_bytes() if path.exists() else b"missing"
        total.update(f"{path}:{len(content)}:".encode() + content)
    return total.hexdigest()


def stamped(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two makes at once in one checkout take turns."""
    with Path("build/workshop.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _say(what: str) -> None:
    print(f"{what} ...", flush=True)
