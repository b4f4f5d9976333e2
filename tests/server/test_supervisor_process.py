"""An output that nobody reads stops nothing: the supervisor announces itself into it, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.harness import config_for, eventually
from tests.harness.gateway_process import ROOT
from tests.harness.processes import descriptors
from tests.harness.sampling import read


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
        assert process.wait(40) == 0
        assert "stopped" in log.read_text()
        assert "internal error" not in log.read_text()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_who_closed_the_standard_streams_is_served_all_the_same(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """As some who start daemons do. Nothing of ours may get such a number: what is printed would go there."""
    file, log, pid, port = (tmp_path / name for name in ("gateway.yaml", "app.log", "pid", "port"))
    file.write_text(yaml.safe_dump(config_for(logging={"log": str(log), "access_log": "off"})))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(file)]
    command += ["--pid-file", str(pid), "--port-file", str(port)]
    shell = " ".join(f"{number}>&-" for number in closed)
    with subprocess.Popen(["sh", "-c", f'exec "$@" {shell}', "sh", *command], cwd=ROOT) as process:
        try:
            eventually(lambda: log.exists() and "listening" in log.read_text())
            assert pid.read_text() == f"{process.pid}\n"
            assert "ok" in read(int(port.read_text()), "/live")
            kinds = descriptors(process.pid)
            assert {kinds[number] for number in closed} == {os.devnull}
        finally:
            process.terminate()
        assert process.wait(40) == 0
        assert "internal error" not in log.read_text()


def test_too_little_of_something_is_said_in_a_line(tmp_path: Path) -> None:
    """No descriptor for the check; no address space to share."""
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(config_for()))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(file)]
    for limit, said in (("-n 6", "Too many open files"), ("-v 600000", "address space")):
        shell = ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *command]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert done.stderr.startswith("llm-gateway: cannot start: ")
        assert said in done.stderr
