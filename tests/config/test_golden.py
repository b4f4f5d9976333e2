"""Bad files and exactly what is said about them.

``cases/NAME.yaml`` (or ``NAME.1.yaml`` and ``NAME.2.yaml``, the second laid over the first) with ``NAME.expected``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, load, render_problems

CASES = Path(__file__).parent / "cases"
NAMES = sorted({path.name.split(".")[0] for path in CASES.glob("*.yaml")})


@pytest.mark.parametrize("name", NAMES)
def test_every_problem_is_named_with_its_place_and_cure(
    name: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES)
    files = sorted(path.name for path in CASES.glob(f"{name}.*yaml"))
    with pytest.raises(ConfigError) as caught:
        load(files, environ=environ)
    said = render_problems(caught.value)
    assert said == Path(f"{name}.expected").read_text()
    assert "canary" not in said


def test_there_are_enough_cases() -> None:
    assert len(NAMES) >= 45
