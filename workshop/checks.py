"""`make check`: what is judged without running the product."""

from __future__ import annotations

from workshop.environment import VENV
from workshop.parts import Part

PYTHON_FILES = ("gateway", "tests", "benchmarks", "workshop", "docs", "setup.py")
STRICT = ("gateway", "tests", "benchmarks", "workshop", "docs")


def parts() -> list[Part]:
    bin_ = VENV / "bin"
    allowlist = "tests/_fast/stubtest_allowlist.txt"
    return [
        Part("ruff check", [f"{bin_}/ruff", "check", "--output-format=concise", *PYTHON_FILES]),
        Part("ruff format", [f"{bin_}/ruff", "format", "--check", "--output-format=concise", *PYTHON_FILES]),
        Part("mypy", [f"{bin_}/mypy", "--strict", *STRICT]),
        Part("stubtest", [f"{bin_}/stubtest", "gateway._fast", "--allowlist", allowlist]),
        Part("layers", [f"{bin_}/lint-imports"]),
    ]
