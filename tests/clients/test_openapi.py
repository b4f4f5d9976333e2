"""``/openapi.json`` is true: schemathesis derives valid and invalid requests from it and judges every answer.

All of its checks run, none is excluded, no failure is ignored; what is generated depends on nothing but the document.
That the run meant something is seen in the access log: each data endpoint both answered and refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.harness import Gateway, config_for

ROOT = Path(__file__).parents[2]
DATA = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
CEILING = 200  # seconds; it takes about ten
LEAST = 20  # requests answered with 200, of each data endpoint, and as many refused with 400


def test_the_document_is_true() -> None:
    with Gateway(config_for()) as gateway:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.url}/openapi.json"]
        generation = ["--generation-deterministic", "--max-examples", "40", "--mode", "all", "--no-color"]
        checks = ["--checks", "all", "--continue-on-failure", "--request-timeout", "20"]
        environ = {"SCHEMATHESIS_HOOKS": "tests.clients.openapi_hooks", "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            [*command, *generation, *checks],
            cwd=gateway.folder,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=CEILING,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        gateway.stop()
        answered = Counter((line["path"], line["status"]) for line in gateway.access if line["method"] == "POST")
        for path in DATA:
            assert answered[path, 200] >= LEAST, answered
            assert answered[path, 400] >= LEAST, answered
        assert not [line for line in gateway.log if line["level"] == "error"]
