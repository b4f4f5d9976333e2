"""A run as JSON, for comparing it with another one: every round, not only the medians."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measures import Settings
from benchmarks.results import Results

FOLDER = Path(__file__).with_name("results")


def write(machine: Mapping[str, object], settings: Settings, results: Results, folder: Path = FOLDER) -> Path:
    now = datetime.now(UTC)
    whole = {
        "when": now.isoformat(timespec="seconds"),
        "machine": machine,
        "settings": dataclasses.asdict(settings),
        "against_nginx": [{**dataclasses.asdict(row), "ratio": row.ratio} for row in results.rows],
        "from_one_to_two_workers": [{**dataclasses.asdict(row), "ratio": row.ratio} for row in results.scaling],
        "operations": [{**dataclasses.asdict(each), "multiple": each.multiple} for each in results.operations],
        "notes": results.notes,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{machine.get('commit') or 'uncommitted'}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n")
    return path
