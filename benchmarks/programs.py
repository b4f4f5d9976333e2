"""The programs of one run: upstreams, nginx and the gateway, each started, awaited and stopped here."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import certificate, settings_files
from benchmarks.machine import Cores
from benchmarks.settings_files import Ports

START_CEILING = 20.0  # seconds; a program that needs longer is broken


class Missing(Exception):
    """A program is not there or did not start. The text says which, and the cure."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the upstreams: through a proxy, or straight (then there is no process to account)."""

    name: str
    pid: int
    ports: Ports


class Stage:
    """Everything that runs during the measurement. `nginx` and `gateway` are None when they could not start."""

    def __init__(self, folder: Path, cores: Cores, notes: list[str], lane: str = "") -> None:
        self.folder = folder
        self.cores = cores
        self._lane = lane
        self._notes = notes
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        if not cores.apart:
            notes.append("one core only: proxy, upstream and load share it, and the numbers show it")

    def __enter__(self) -> Self:
        try:
            self.direct = Way("direct", os.getpid(), self._upstreams())
            self.nginx = self._yardstick()
            self.gateway = self._gateway()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _certificate(self) -> Path:
        return self.folder / "certificate"

    @property
    def proxies(self) -> list[Way]:
        return [self.nginx, *([self.gateway] if self.gateway else [])]

    def close(self) -> None:
        while self._running:
            _, process = self._running.pop()
            stop(process)

    def spawn(
        self, name: str, cpus: str, command: list[str], extra: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program on these cores; what it says goes to a file that a failure quotes."""
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                ["taskset", "-c", cpus, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=quiet_environ(extra),
            )
        self._running.append((name, process))
        return process

    def listening(self, name: str, process: subprocess.Popen[bytes], port: Callable[[], int | None]) -> int:
        """Wait until the program accepts connections, and say where."""
        ceiling = time.monotonic() + START_CEILING
        while time.monotonic() < ceiling and process.poll() is None:
            found = port()
            if found is not None and accepts(found):
                return found
            time.sleep(0.005)
        said = self._log(name).read_text(errors="replace").strip().splitlines()[-8:]
        raise Missing("\n".join([f"{name} does not start, so it is not measured; its last words:", *said]))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _upstreams(self) -> Ports:
        """nginx answers whole, with and without TLS; the mock streams, and reads large bodies."""
        problem = certificate.make(self._certificate)
        if problem:
            self._notes.append(problem)
        whole, tls = free_port(), None if problem else free_port()
        self._nginx("upstream", self.cores.load, settings_files.upstream(self._certificate, whole, tls), whole)
        mock = self._mock()
        return Ports(whole, mock, mock, tls)

    def _mock(self) -> int:
        port_file = self.folder / "mock.port"
        command = [sys.executable, "-m", "benchmarks.mock_upstream", str(port_file)]
        process = self.spawn("mock", self.cores.load, command)
        return self.listening("mock", process, lambda: read_port(port_file))

    def _yardstick(self) -> Way:
        upstreams = self.direct.ports
        ports = Ports(free_port(), free_port(), free_port(), free_port() if upstreams.tls else None)
        text = settings_files.yardstick(self.folder / "nginx", self._certificate, ports, upstreams)
        return Way("nginx", self._nginx("nginx", self.cores.proxy, text, ports.whole), ports)

    def _nginx(self, name: str, cpus: str, text: str, port: int) -> int:
        """Its process id, once it listens."""
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Missing("nginx not found, so nothing can be compared: apt-get install nginx")
        folder = self.folder / name
        folder.mkdir()
        (folder / "nginx.conf").write_text(text)
        process = self.spawn(name, cpus, [program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"])
        self.listening(name, process, lambda: port)
        return process.pid

    def _gateway(self) -> Way | None:
        try:
            return self.gateway_with("gateway", 1, self.cores.proxy)
        except Missing as missing:
            self._notes.append(str(missing))
            return None

    def gateway_with(self, name: str, workers: int, cpus: str = "") -> Way:
        """A gateway, from the start of its command to its first answer; on the two cores of a pair unless told."""
        word = name.replace(" ", "-")
        config, port_file = (self.folder / f"{word}.{kind}" for kind in ("yaml", "port"))
        log, upstreams = self.folder / f"{word}-access.log", self.direct.ports
        config.write_text(settings_files.gateway(log, upstreams, workers, self._lane))
        command = [*gateway_command(), "run", "--config", str(config), "--port-file", str(port_file)]
        trusted = {"SSL_CERT_FILE": str(self._certificate / certificate.AUTHORITY[0])}
        process = self.spawn(word, cpus or self.cores.pair, command, trusted if upstreams.tls else None)
        port = self.listening(word, process, lambda: answering(read_port(port_file)))
        return Way(name, process.pid, Ports(port, port, port, port if upstreams.tls else None))

    def leave(self, way: Way) -> None:
        """Stop one program before the end."""
        for entry in [entry for entry in self._running if entry[1].pid == way.pid]:
            self._running.remove(entry)
            stop(entry[1])


def gateway_command() -> list[str]:
    """The installed command beside this interpreter."""
    installed = Path(sys.executable).with_name("llm-gateway")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "gateway"]


def quiet_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nobody else's configuration or debugging aids in what is measured."""
    unwanted = {"GATEWAY_CONFIG", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONMALLOC"}
    return {name: value for name, value in os.environ.items() if name not in unwanted} | dict(extra or {})


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def answering(port: int | None) -> int | None:
    """The port, once a worker answers behind it: the supervisor's socket takes connections before that."""
    if port is None:
        return None
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=START_CEILING)
    try:
        asked.request("GET", "/live")
        return port if asked.getresponse().status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        asked.close()


def read_port(path: Path) -> int | None:
    """A port file holds the port, or host:port; it may be looked at before it is written."""
    try:
        return int(path.read_text().strip().rpartition(":")[2])
    except (OSError, ValueError):
        return None
