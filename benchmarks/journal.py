"""A run as JSON, for comparing it with another one: every round, not only the medians."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measures import Row, Settings
from benchmarks.results import Results

FOLDER = Path(__file__).with_name("results")


def write(machine: Mapping[str, object], settings: Settings, results: Results, folder: Path = FOLDER) -> Path:
    now = datetime.now(UTC)
    whole = {
        "when": now.isoformat(timespec="seconds"),
        "machine": machine,
        "settings": dataclasses.asdict(settings),
        "against_nginx": [judged(row) for row in results.rows],
        "from_one_to_two_workers": [judged(row) for row in results.scaling],
        "operations": [{**dataclasses.asdict(each), "multiple": each.multiple} for each in results.operations],
        "rounds": results.numbers,
        "notes": results.notes,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{machine.get('commit') or 'uncommitted'}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n")
    return path


def judged(row: Row) -> dict[str, object]:
    """A row with what it promised, in words."""
    promised = {name: bound for name, bound in (("must", row.must), ("aim", row.aim)) if bound}
    verdict = {name: {"bound": str(bound), "met": row.met(bound)} for name, bound in promised.items()}
    return {**dataclasses.asdict(row), "must": None, "aim": None, "ratio": row.ratio, **verdict}
