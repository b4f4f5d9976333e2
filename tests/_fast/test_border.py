"""The border: one door, stubs true where stubtest cannot look, and a clear word when nothing is compiled."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import _fast
from tests._fast import twins

DRAWER = Path(_fast.__file__).parent


def test_the_stubs_constructor_is_the_twins_and_the_compiled_one() -> None:
    """A compiled constructor has no signature to read, so stubtest passes over it."""
    twin = inspect.signature(twins.SseScanner).parameters
    stub = ast.parse((DRAWER / "sse.pyi").read_text())
    new = next(node for node in ast.walk(stub) if isinstance(node, ast.FunctionDef) and node.name == "__new__")
    defaults = [ast.literal_eval(default) if default else inspect.Parameter.empty for default in new.args.kw_defaults]
    assert [argument.arg for argument in new.args.kwonlyargs] == list(twin)
    assert defaults == [parameter.default for parameter in twin.values()]
    for name, parameter in twin.items():
        given = {} if name == "content" else {name: parameter.default}
        _fast.SseScanner(content=(), **given)
    with pytest.raises(TypeError, match="content"):
        _fast.SseScanner()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="other"):
        _fast.SseScanner(content=(), other=1)  # type: ignore[call-arg]


def test_half_made_scanners_do_not_exist() -> None:
    with pytest.raises(TypeError):
        _fast.SseScanner.__new__(_fast.SseScanner)  # type: ignore[call-arg]
    for wrong in (
        {"content": ["text"]},
        {"content": None},
        {"content": (), "done": "x"},
        {"content": (), "items": None},
    ):
        with pytest.raises(TypeError):
            _fast.SseScanner(**wrong)
    scanner = _fast.SseScanner(content=("text",))
    for part in (bytearray(b"x"), "x", None):
        with pytest.raises(TypeError):
            scanner.feed(part)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        scanner.content = True  # type: ignore[misc]


def test_every_compiled_module_has_a_stub_and_imports_nothing_from_outside_the_drawer() -> None:
    sources = sorted(DRAWER.glob("*.pyx"))
    assert sources
    for source in sources:
        assert source.with_suffix(".pyi").is_file()
    for source in [*sources, *DRAWER.glob("*.pxd"), *DRAWER.glob("*.py")]:
        for module in re.findall(r"^\s*(?:from|c?import)\s+(gateway\S*)", source.read_text(), re.MULTILINE):
            assert module.startswith("gateway._fast."), f"{source.name} imports {module}"


def test_without_compiled_modules_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/__init__.py").touch()
    shutil.copytree(DRAWER, tmp_path / "gateway/_fast", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command = [sys.executable, "-c", "import gateway._fast"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": "."})
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "run `make build`" in done.stderr
