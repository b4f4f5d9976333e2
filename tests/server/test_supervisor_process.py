"""An output that nobody reads stops nothing: the supervisor announces itself into it, and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import yaml

from tests.harness import config_for, eventually
from tests.harness.gateway_process import ROOT


def test_an_output_that_nobody_reads(tmp_path: Path) -> None:
    file, log = tmp_path / "gateway.yaml", tmp_path / "app.log"
    file.write_text(yaml.safe_dump(config_for(logging={"log": str(log), "access_log": "off"})))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
        eventually(lambda: log.exists() and "listening" in log.read_text(), ceiling=60)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "reloaded" in log.read_text(), ceiling=60)
        process.send_signal(signal.SIGTERM)
        process.wait(40)
        assert "stopped" in log.read_text()
