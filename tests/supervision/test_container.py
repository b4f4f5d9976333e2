"""As process 1 of a container: it reaps what others leave behind, and signals have the effect they have elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.harness import eventually
from tests.harness.gateway_process import ROOT
from tests.harness.processes import children, ended_children
from tests.harness.sampling import read
from tests.supervision.instance import PROBING, configuration, order, with_probe

UNSHARE = shutil.which("unshare")
ALONE = [UNSHARE or "", "--pid", "--fork", "--mount-proc"]


def is_allowed() -> bool:
    return UNSHARE is not None and subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not is_allowed(), reason="no process namespaces here")
def test_process_one(tmp_path: Path) -> None:
    orders, port_file = tmp_path / "orders.json", tmp_path / "port"
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(with_probe(configuration(), orders)))
    run = [sys.executable, "-m", "gateway", "run", "--config", str(file), "--port-file", str(port_file)]
    with (tmp_path / "out").open("w") as out:
        outside = subprocess.Popen([*ALONE, *run], stdout=out, stderr=out, cwd=ROOT, env={**os.environ, **PROBING})
    try:
        eventually(lambda: "http://" in (tmp_path / "out").read_text(), ceiling=50, what="its start")
        port = int(port_file.read_text())
        (supervisor,) = children(outside.pid)
        assert '"pid":2' in read(port, "/health").replace(" ", "") or '"pid":3' in read(port, "/health")
        order(orders, checker="fork")  # what the checker leaves behind is given to process 1
        for number in range(1, 4):
            os.kill(supervisor, signal.SIGHUP)
            eventually(lambda: f'reload_total{{result="success"}} {number}' in read(port), what="a reload")  # noqa: B023
        eventually(lambda: ended_children(supervisor) == [], what="zombies are reaped")
        eventually(lambda: len(children(supervisor)) == 2, what="nobody but the workers")
        os.kill(children(supervisor)[0], signal.SIGKILL)
        eventually(lambda: 'restarts_total{reason="killed"} 1' in read(port), what="a restart")
        os.kill(supervisor, signal.SIGTERM)
        assert outside.wait(40) == 0
    finally:
        if outside.poll() is None:
            for pid in children(outside.pid):
                os.kill(pid, signal.SIGKILL)
            outside.wait(20)
