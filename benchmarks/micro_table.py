"""What the compiled core's operations cost: the pytest-benchmark files in micro/, read from their report.

A case named [python] is the twin of the one with the same other names, [together] the same while a second process works
on the same cells, and `empty call` is the unit of the goals. Medians, in nanoseconds. `extra_info` may hold `goal`, and
`calls` when one round makes many in a row: only these are compared with the empty call, the others hold the loop too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measures import Operation
from benchmarks.programs import quiet_environ

MICRO = Path(__file__).with_name("micro")
EMPTY = "empty call"
KINDS = ("compiled", "together", "python")
Report = Iterable[Mapping[str, Any]]


def measured(notes: list[str]) -> list[Operation]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "pytest", str(MICRO), "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        command += ["--benchmark-only", f"--benchmark-json={report}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=quiet_environ())
        if done.returncode or not report.exists():
            notes.append(f"micro-benchmarks failed: {done.stdout.strip()[-400:]}")
            return []
        return operations(json.loads(report.read_text())["benchmarks"])


def operations(report: Report) -> list[Operation]:
    """One line for each operation, in the order of the report."""
    times: dict[str, dict[str, float]] = {}
    goals: dict[str, str] = {}
    in_a_row: set[str] = set()
    for each in report:
        name, kind = parse(each["name"])
        info = each.get("extra_info", {})
        times.setdefault(name, {})[kind] = each["stats"]["median"] * 1e9 / info.get("calls", 1)
        goals.setdefault(name, info.get("goal", ""))
        in_a_row.update({name} if "calls" in info else ())
    empty = times.get(EMPTY, {}).get("compiled")
    return [
        Operation(
            name,
            found["compiled"],
            found.get("together"),
            found.get("python"),
            empty if name in in_a_row else None,
            goals[name],
        )
        for name, found in times.items()
        if "compiled" in found
    ]


def parse(case: str) -> tuple[str, str]:
    """The operation and its kind: test_top_level[1 MiB-python] is the twin of `top level 1 MiB`."""
    function, _, inside = case.removesuffix("]").partition("[")
    words = [word for word in re.split(r"-(?=\S)", inside) if word]
    kind = next((word for word in words if word in KINDS), "compiled")
    shown = [function.removeprefix("test_").replace("_", " "), *(word for word in words if word != kind)]
    return " ".join(shown), kind
