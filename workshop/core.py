"""The compiled core under a microscope: line coverage of the .pyx files and of the Python that is compiled, too, for
the release (there it runs as it stands); and the sanitizers.

Both builds are different programs from the release build, so they live in copies of the tree under
build/ and the modules in place stay what users run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from workshop.environment import PYTHON, compile_core, plain_modules
from workshop.parts import Part

COPIED = ("gateway", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE")
MADE = ("__pycache__", "node_modules", "*.so")
COVERAGE = """
[run]
plugins = Cython.Coverage
source = gateway
omit = *.pxd
patch = subprocess, _exit, fork
parallel = true
data_file = .coverage

[report]
include =
    gateway/_fast/*.pyx
{plain}
show_missing = true
"""


def trace_parts() -> list[Part]:
    tree = Path("build/trace")
    python = str(Path(PYTHON).absolute())
    coverage = [python, "-m", "coverage"]
    return [
        Part("trace build", lambda: copy(tree, "trace")),
        Part(
            "trace tests",
            [*coverage, "run", "--rcfile=trace.ini", "-m", "pytest", *FAST, *PLAIN, "-n", "2"],
            ours(tree, "trace"),
            tree,
        ),
        Part("trace combine", [*coverage, "combine", "--rcfile=trace.ini", "-q"], directory=tree),
        Part("trace report", [*coverage, "report", "--rcfile=trace.ini"], directory=tree, quote="gateway/"),
    ]


def sanitize_parts() -> list[Part]:
    tree = Path("build/sanitize")
    environ = {
        **ours(tree, "sanitize"),
        "LD_PRELOAD": f"{_library('libasan.so')} {_library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",  # the interpreter itself keeps memory to its end
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    return [
        Part("sanitize build", lambda: copy(tree, "sanitize")),
        Part("sanitize tests", [str(Path(PYTHON).absolute()), "-m", "pytest", *FAST, "-s"], environ, tree),
    ]


PLAIN = (
    "tests/dialects",
    "tests/policies",
    "tests/relay/test_cancellation.py",
    "tests/relay/test_clocks.py",
    "tests/relay/test_comments.py",
    "tests/relay/test_no_cycles.py",
    "tests/relay/test_stream_ends.py",
    "tests/routing",
    "tests/telemetry/test_request_meters.py",
    "tests/test_exchange.py",
    "tests/test_settlement.py",
    "tests/upstream/test_pool.py",
)  # quick ones, without processes
FAST = ("tests/_fast", "-q", "-p", "no:cacheprovider", "--benchmark-disable")


def ours(tree: Path, kind: str) -> dict[str, str]:
    """Scripts that the tests start must import this tree's modules, too; and tests may ask how slow a build this is."""
    return {"PYTHONPATH": str(tree.absolute()), "GATEWAY_BUILD": kind}


def copy(tree: Path, kind: str) -> None:
    """A copy of what tests/_fast needs, compiled its own way; its compiled modules are kept between runs."""
    tree.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        mirror(Path(name), tree / name)
    for data in tree.glob(".coverage*"):
        data.unlink()
    plain = "\n".join(f"    {path}" for path in plain_modules())
    (tree / "trace.ini").write_text(COVERAGE.format(plain=plain))
    (tree / "build").mkdir(exist_ok=True)
    compile_core(kind, tree)
    for generated in tree.glob(f"build/cython-{kind}/gateway/_fast/*.c"):
        shutil.copy2(generated, tree / "gateway/_fast")  # where Cython.Coverage looks for it


def mirror(source: Path, target: Path) -> None:
    """Make target like source, but for what is made by a build."""
    if source.is_file():
        shutil.copy2(source, target)
    elif source.is_dir():
        if target.is_dir():
            for stale in target.rglob("*"):
                if stale.suffix != ".so" and stale.is_file():
                    stale.unlink()
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*MADE), dirs_exist_ok=True)


def _library(name: str) -> str:
    asked = Part(name, ["gcc", f"-print-file-name={name}"])
    asked.run()
    return asked.output.strip()
