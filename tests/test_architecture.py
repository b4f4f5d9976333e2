"""The structure as the map promises it: who may import whom, how large a file may be, one thing per file.

What import-linter sees are Python files; imports of compiled modules it cannot see, so they are read here.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import gateway
from gateway import catalog, contracts, endpoints, pipeline, policies, providers, routing, wiring
from gateway.contracts import Phase
from workshop.environment import plain_modules

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"
PRODUCT = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
AROUND = sorted(path for name in ("benchmarks", "workshop", "docs") for path in (ROOT / name).rglob("*.py"))
EVERY = [*PRODUCT, *TESTS, *AROUND]
LONGEST = 350
REFUSED = re.compile(r"(^|_)(utils?|helpers?|managers?|common|base|misc)(_|$)")
DRAWERS = {"providers": providers, "routing": routing, "policies": policies, "endpoints": endpoints}
CATALOGS = {
    "providers": catalog.providers,
    "routing": catalog.strategies,
    "policies": catalog.policies,
    "endpoints": catalog.endpoints,
}
# Who may import what stands outside: the rest of the gateway must not know it.
ALLOWED = {
    "aiohttp": {"server", "lanes", "upstream"},
    "uvloop": {"server"},
    "yaml": {"config"},
    "pydantic": {"config", "providers", "policies", "routing"},  # outside config/ only `Field`, in Options
    "pydantic_core": {"config"},
    "httptools": {"_fast"},
}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Every module a file imports anywhere in it, with the names it takes from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ".", [alias.name for alias in node.names]


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_compiled_core_has_one_door() -> None:
    """Nobody imports gateway._fast.x from Python; the .pyx files know nothing of the gateway."""
    for path in [*PACKAGE.rglob("*.py"), *TESTS, *AROUND]:
        if path.parent.name != "_fast":
            passed = [module for module, _ in imports(path) if module.startswith("gateway._fast.")]
            assert not passed, f"{relative(path)} passes the door: {passed}"
    beside = {path.with_suffix(".pxd") for path in PACKAGE.glob("*.py")}  # types for Python compiled as it stands
    sources = {*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")} - beside
    assert sources
    for path in sources:
        assert path.parent.name == "_fast"
        for module in re.findall(r"^\s*(?:from|c?import)\s+(gateway\S*)", path.read_text(), re.MULTILINE):
            assert module.startswith("gateway._fast."), f"{relative(path)} imports {module}"


@pytest.mark.parametrize("package", ALLOWED)
def test_what_stands_outside_is_known_to_few(package: str) -> None:
    for path in PACKAGE.rglob("*.py"):
        drawer = path.relative_to(PACKAGE).parts[0]
        for module, names in imports(path):
            if module.partition(".")[0] != package:
                continue
            assert drawer in ALLOWED[package], f"{relative(path)} imports {module}"
            if package == "pydantic" and drawer != "config":
                assert names == ["Field"], f"{relative(path)} takes {names} from pydantic"


@pytest.mark.parametrize("path", EVERY, ids=relative)
def test_a_file_is_short_named_for_what_it_holds_and_says_so_first(path: Path) -> None:
    text = path.read_text()
    lines = len(text.splitlines())
    assert lines <= LONGEST, f"{lines} lines: give a part of it a file of its own"
    assert not REFUSED.search(path.stem), "a name that says nothing"
    if text:
        first = text.lstrip().partition("\n")[0] if path.suffix == ".pyx" else ast.get_docstring(ast.parse(text))
        assert first, "the head of a file says what lives there"
        assert path.suffix != ".pyx" or first.startswith(('"""', "# cython"))


def test_the_usual_file_is_read_in_one_go() -> None:
    lines = [len(path.read_text().splitlines()) for path in PRODUCT if path.name != "__init__.py"]
    assert 50 <= statistics.median(lines) <= 160


@pytest.mark.parametrize("drawer", DRAWERS)
def test_every_file_of_a_drawer_is_listed_and_every_name_has_its_file(drawer: str) -> None:
    module: ModuleType = DRAWERS[drawer]
    files = {path.stem for path in (PACKAGE / drawer).glob("*.py")} - {"__init__"}
    assert set(module.__all__) == files
    taken = {
        name
        for source, names in imports(PACKAGE / drawer / "__init__.py")
        if source == f"gateway.{drawer}"
        for name in names
    }
    assert taken == files
    homes = [implementation.__module__ for implementation in CATALOGS[drawer]._known.values()]
    assert all(home.startswith(f"gateway.{drawer}.") for home in homes)
    if drawer != "endpoints":  # the faces of health are one thing
        assert len(set(homes)) == len(homes)


def test_only_the_wiring_knows_every_drawer() -> None:
    for path in PACKAGE.rglob("*.py"):
        known = {module.split(".")[1] for module, _ in imports(path) if module.startswith("gateway.") and "." in module}
        if len(known & DRAWERS.keys()) > 1:
            assert path.name == "wiring.py", relative(path)
    assert {module.__name__ for module in wiring.SHIPPED} == {f"gateway.{drawer}" for drawer in DRAWERS}


def test_the_phases_are_those_of_the_picture() -> None:
    head = contracts.__doc__ or ""
    drawn = re.findall(r"^    ([A-Z]+) +(\w+)\(exchange", head, re.MULTILINE)
    assert drawn == [(phase.name, phase.value) for phase in Phase]


def test_the_pipelines_picture_names_its_steps() -> None:
    """In their order, too: where each is first called."""
    picture = next(line for line in (pipeline.__doc__ or "").splitlines() if "─▶" in line)
    steps = re.findall(r"[a-z]+", picture)
    phases = {phase.name.lower(): f"Phase.{phase.name}, " for phase in Phase}
    assert [step for step in steps if step in phases] == list(phases)
    code = (PACKAGE / "pipeline.py").read_text().partition('"""')[2].partition('"""')[2]
    called = {"read": "await read(", "relay": "Relay(exchange", **phases, "release": "release(exchange)"}
    assert set(steps) == called.keys()
    assert "settle(exchange" in code[: code.index("\nasync def ", code.index("async def handle(") + 1)]
    before = steps[: steps.index("settle")]
    assert sorted(before, key=lambda step: code.index(called[step])) == before


def test_what_runs_compiled_is_what_stands_in_the_source() -> None:
    plain = plain_modules(ROOT)
    assert {path.with_suffix(".py") for path in PACKAGE.glob("*.pxd")} <= set(plain)
    for path in plain:
        assert f'"{relative(path)}"' in (ROOT / "pyproject.toml").read_text(), "its coverage is measured by make trace"
        for built in path.parent.glob(f"{path.stem}.*.so"):
            assert built.stat().st_mtime >= path.stat().st_mtime, f"{relative(path)}: run `make build`"


def test_the_map_names_every_file_at_the_top_and_every_drawer() -> None:
    on_the_map = set(re.findall(r"^    ([\w.]+?)(?:\.py|/)(?: |$)", gateway.__doc__ or "", re.MULTILINE))
    there = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    there |= {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert on_the_map == there


def test_the_compiled_modules_and_the_files_of_the_lanes_are_listed() -> None:
    rows = re.findall(r"^\| `(\w+)\.pyx` \|", (PACKAGE / "_fast/README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (PACKAGE / "_fast").glob("*.pyx"))
    listed = re.findall(r"^(\w+)  +\w", (PACKAGE / "lanes/__init__.py").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (PACKAGE / "lanes").glob("*.py") if path.stem != "__init__")


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|for now|not implemented|placeholder)\b", re.IGNORECASE)
A_MACHINE = re.compile(r"(?<![\w.])/(work|root|home)/")


@pytest.mark.parametrize("suffix", ["*.py", "*.pyx", "*.md", "*.yaml", "*.conf"])
def test_nothing_is_left_undone_and_nothing_points_at_a_machine(suffix: str) -> None:
    inside = [ROOT / name for name in ("gateway", "config", "docs", "deploy", "workshop", "benchmarks")]
    paths = [path for folder in inside for path in folder.rglob(suffix)] + list(ROOT.glob(suffix))
    for path in paths:
        text = path.read_text()
        assert not UNFINISHED.search(text), f"{relative(path)}: {UNFINISHED.search(text)}"
        assert not A_MACHINE.search(text), relative(path)
