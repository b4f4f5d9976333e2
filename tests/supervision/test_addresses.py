"""Where the gateway listens: one port for all workers, unix sockets, IPv6; and whoever has an address already."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import clients
from tests.server.raw import Wire
from tests.supervision.instance import QUICK, configuration, health, is_complete, kill, pids, reload, restarts

ROOT = Path(__file__).parents[2]


def start(folder: Path, config: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    """`llm-gateway run` that is expected to end by itself."""
    file = folder / "second.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(file), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


def listening(*addresses: str, workers: int = 2) -> dict[str, Any]:
    return configuration(workers=workers, server={"listen": list(addresses)})


def test_a_second_instance_on_the_same_address_is_refused(tmp_path: Path) -> None:
    with Gateway(configuration()) as gateway, Load(("127.0.0.1", gateway.port), kept=2, fresh=4, model=QUICK) as load:
        address = f"127.0.0.1:{gateway.port}"
        for workers in (1, 2):
            done = start(tmp_path, listening(address, workers=workers))
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"llm-gateway: cannot serve on {address}: Address already in use\n"
        wildcard = start(tmp_path, listening(f"0.0.0.0:{gateway.port}"))
        assert wildcard.returncode == 1
        load.goes_on()
    load.loses_nothing()


def test_a_second_instance_with_the_same_pid_file_is_refused(tmp_path: Path) -> None:
    pid_file = tmp_path / "gateway.pid"
    file = tmp_path / "first.yaml"
    file.write_text(yaml.safe_dump(configuration()))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(file), "--pid-file", str(pid_file)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    try:
        assert first.stdout is not None
        assert "http://" in first.stdout.readline()
        assert pid_file.read_text() == f"{first.pid}\n"
        done = start(tmp_path, configuration(), "--pid-file", str(pid_file))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"process {first.pid}" in done.stderr
        assert str(pid_file) in done.stderr
        assert pid_file.read_text() == f"{first.pid}\n"
        first.send_signal(signal.SIGTERM)
        assert first.wait(40) == 0
        assert not pid_file.exists()
        pid_file.write_text(f"{first.pid}\n")  # as one that was killed leaves it
        again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
        assert again.stdout is not None
        assert "http://" in again.stdout.readline()
        again.terminate()
        assert again.wait(40) == 0
        again.stdout.close()
    finally:
        if first.poll() is None:
            first.kill()
            first.wait()
        if first.stdout is not None:
            first.stdout.close()


def test_another_programs_port_is_refused_at_the_start_and_by_a_reload(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=False) as taken, Gateway(configuration()) as gateway:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = start(tmp_path, listening("127.0.0.1:0", address))
        assert done.returncode == 1
        assert done.stderr == f"llm-gateway: cannot serve on {address}: Address already in use\n"
        reload(gateway, listening("127.0.0.1:0", address), good=False)
        eventually(lambda: any("already in use" in line["message"] for line in gateway.log))
        assert health(gateway)["generation"] == 1
        assert restarts(gateway) == {}


def test_port_zero_is_one_port_and_all_workers_serve_it(stack: ExitStack) -> None:
    with Gateway(configuration(workers=3)) as gateway:
        workers = pids(gateway)
        for _ in range(60):
            stack.enter_context(Wire(gateway.port))
        eventually(lambda: all(clients(pid, gateway.port) for pid in workers), what="everybody has somebody")
        assert is_complete(gateway, 3)


def test_ipv6_and_ipv4_side_by_side() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Gateway(listening("127.0.0.1:0", "[::1]:0")) as gateway:
        port = next(int(part.rpartition(":")[2]) for part in addresses(gateway) if "[::1]" in part)
        with Load(("::1", port), kept=2, fresh=2, model=QUICK) as load:
            load.goes_on()
        load.loses_nothing()


def addresses(gateway: Gateway) -> list[str]:
    text: str = next(line["address"] for line in gateway.log if line["message"] == "listening")
    return text.split(", ")


def test_a_unix_socket_beside_tcp(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()  # its file stays, as after a crash
    with Gateway(listening("127.0.0.1:0", f"unix:{path}")) as gateway:
        assert stat.S_ISSOCK(path.stat().st_mode)
        with Load(str(path), kept=4, fresh=4, model=QUICK) as load:
            kill(gateway, pids(gateway)[0])
            load.goes_on()
            known = len(load.lost)
            for _ in range(5):
                load.goes_on()
            assert len(load.lost) == known <= 8
        second = start(tmp_path, listening(f"unix:{path}"))
        assert second.returncode == 1
        assert f"unix:{path}: Address already in use" in second.stderr
        assert gateway.stop() == 0
        assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    path.write_text("dear")
    done = start(tmp_path, listening(f"unix:{path}"))
    assert done.returncode == 1
    assert "not a socket" in done.stderr
    assert path.read_text() == "dear"
