"""TLS while the gateway changes: new certificates, wrong ones, other workers, another address; nobody is lost."""

from __future__ import annotations

import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Gateway, eventually
from tests.harness.certificates import Authority, Pair, serial_of
from tests.harness.load import Load
from tests.harness.nginx import Nginx
from tests.harness.processes import descriptors
from tests.server.raw import Wire
from tests.server.raw import request as request_bytes
from tests.server.test_tls import HOST, tls_port
from tests.supervision.instance import (
    QUICK,
    SLOW,
    configuration,
    generations,
    is_complete,
    kill,
    pids,
    reload,
    restarts,
    said,
)
from tests.supervision.test_bad_moments import ASK
from tests.supervision.test_nginx import replace_one


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture(params=["fast", "aiohttp"])
def config(request: pytest.FixtureRequest, authority: Authority) -> dict[str, Any]:
    found = secure(authority.issue())
    return {**found, "server": {**found["server"], "lane": request.param}}


@pytest.fixture
def gateway(config: dict[str, Any]) -> Iterator[Gateway]:
    with Gateway(config) as running:
        yield running


def secure(pair: Pair | None, address: str = f"tls:{HOST}:0") -> dict[str, Any]:
    """Beside the plain address that tests look at, which comes first."""
    tls = {} if pair is None else {"tls": pair.section}
    return configuration(server={"listen": ["127.0.0.1:0", address], **tls})


def serials(port: int, context: ssl.SSLContext) -> set[str]:
    """Of many new connections, so that every worker has some."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(port, host=HOST, tls=context)) for _ in range(24)]
        return {serial_of(wire.socket) for wire in wires if isinstance(wire.socket, ssl.SSLSocket)}


def load(port: int, context: ssl.SSLContext, *, kept: int = 4, fresh: int = 2, streams: int = 4) -> list[Load]:
    address = (HOST, port)
    return [
        Load(address, kept=kept, fresh=fresh, model=QUICK, tls=context),
        Load(address, streams=streams, model=SLOW, seed=2, tls=context),
    ]


def test_a_new_certificate_in_the_same_file(gateway: Gateway, config: dict[str, Any], authority: Authority) -> None:
    """The configuration's text stays as it is. Who is connected keeps what was agreed on."""
    port, trusted = tls_port(gateway), authority.trusted()
    (first,) = serials(port, trusted)
    seen = [first]
    with Wire(port, host=HOST, tls=trusted) as old, ExitStack() as stack:
        loads = [stack.enter_context(each) for each in load(port, trusted)]
        for _ in range(3):
            authority.issue()
            gateway.reload()
            (new,) = serials(port, trusted)
            assert new not in seen
            seen.append(new)
            for each in loads:
                each.goes_on()
        assert isinstance(old.socket, ssl.SSLSocket)
        assert serial_of(old.socket) == first
        assert old.ask(request_bytes(ASK)).status == 200
    for each in loads:
        each.loses_nothing()
    assert restarts(gateway) == {}
    assert generations(gateway) == {4}


def test_a_wrong_certificate_changes_nothing(gateway: Gateway, config: dict[str, Any], authority: Authority) -> None:
    port, trusted = tls_port(gateway), authority.trusted()
    before = serials(port, trusted)
    other = authority.issue("other")
    pair = Pair(authority.folder / "server.pem", authority.folder / "server.key")
    right = pair.key.read_text()
    for wrong, complaint in ((other.key.read_text(), "the key does not belong to the certificate"), ("", "no private")):
        pair.key.write_text(wrong)
        gateway.reload(result="failure")
        assert said(gateway, "gateway.yaml:", "server.tls", complaint)
        assert serials(port, trusted) == before
    pair.certificate.unlink()
    gateway.reload(result="failure")
    assert said(gateway, "server.tls.certificate: there is no file")
    kill(gateway, pids(gateway)[0])  # who takes its place gets what was read then
    assert serials(port, trusted) == before
    for secret in (*pair.secrets, *right.splitlines()[1:-1]):
        assert not said(gateway, secret)


def test_other_workers(gateway: Gateway, config: dict[str, Any], authority: Authority) -> None:
    """Told to go, one finishes its handshakes too; killed, another has its place."""
    port, trusted = tls_port(gateway), authority.trusted()
    with ExitStack() as stack:
        loads = [stack.enter_context(each) for each in load(port, trusted)]
        for _ in range(2):
            for number in (3, 2):
                reload(gateway, {**config, "server": {**config["server"], "workers": number}})
            replace_one(gateway)
            for each in loads:
                each.goes_on()
    for each in loads:
        each.loses_nothing()
    assert restarts(gateway) == {}
    eventually(lambda: is_complete(gateway, 2), ceiling=100, what="those that were replaced are gone")
    for pid in pids(gateway):
        kill(gateway, pid)
    assert len(serials(port, trusted)) == 1
    eventually(lambda: is_complete(gateway, 2), ceiling=100)


def test_a_client_in_the_middle_of_its_handshake_is_waited_for(gateway: Gateway, authority: Authority) -> None:
    port = tls_port(gateway)
    half = HalfDone(port, authority.trusted())
    with half:
        for pid in pids(gateway):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: len(pids(gateway)) == 3, what="nobody but its worker stays behind")
        time.sleep(0.3)  # several looks of a worker that retires
        half.finish()
        half.send(request_bytes(ASK, headers={"Connection": "close"}))
        assert half.received().startswith(b"HTTP/1.1 200 ")
    eventually(lambda: is_complete(gateway, 2), ceiling=100)


class HalfDone:
    """A TLS client by hand, which has sent half of what it says first."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._wire = Wire(port, host=HOST)
        self._step()
        self._hello = self._out.read()

    def __enter__(self) -> HalfDone:
        self._wire.send(self._hello[:100])
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.__exit__()

    def finish(self) -> None:
        self._wire.send(self._hello[100:])
        while not self._step():
            self._hear()

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._wire.send(self._out.read())

    def received(self) -> bytes:
        """Until the server's goodbye."""
        found = b""
        while True:
            try:
                more = self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._hear()
            except ssl.SSLZeroReturnError:
                return found
            else:
                if not more:
                    return found
                found += more

    def _hear(self) -> None:
        data = self._wire.socket.recv(1 << 16)
        assert data, "it was cut"
        self._in.write(data)

    def _step(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._wire.send(self._out.read())
        return True


def test_a_drain_does_not_wait_for_idle_clients(gateway: Gateway, authority: Authority) -> None:
    with Wire(tls_port(gateway), host=HOST, tls=authority.trusted()) as idle:
        assert idle.ask(request_bytes(ASK)).status == 200
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 15, "drain_timeout is 20 s"
        assert idle.is_closed()


def test_an_address_begins_to_speak_tls_and_ceases(authority: Authority) -> None:
    """The same host and port: its sockets stay, and so does who is connected."""
    plain, encrypted = secure(None, f"{HOST}:0"), secure(authority.issue())
    trusted = authority.trusted()
    with Gateway(plain) as gateway, ExitStack() as stack:
        port = int(gateway.output.partition(f"http://{HOST}:")[2].split()[0])
        kept = [stack.enter_context(Wire(port, host=HOST))]
        for number in range(2):
            reload(gateway, encrypted)
            assert gateway.log[-1]["address"].endswith(f"tls:{HOST}:{port}")
            eventually(lambda: not twice_open(gateway), what="nobody accepts as before beside it")
            assert len(serials(port, trusted)) == 1
            kept.append(stack.enter_context(Wire(port, host=HOST, tls=trusted)))
            if number:
                kill(gateway, pids(gateway)[0])
                assert len(serials(port, trusted)) == 1
                kept = []  # some were its own
            reload(gateway, plain)
            with Wire(port, host=HOST) as wire:
                assert wire.ask(request_bytes(ASK)).status == 200
            assert {wire.ask(request_bytes(ASK)).status for wire in kept} <= {200}


def twice_open(gateway: Gateway) -> list[str]:
    """Sockets of which a worker has more than one copy."""
    held = [[what for what in descriptors(pid).values() if "socket" in what] for pid in pids(gateway)]
    return [what for mine in held for what in set(mine) if mine.count(what) > 1]


@pytest.mark.skipif(Nginx.program is None, reason="nginx is not installed")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_behind_nginx(gateway: Gateway, config: dict[str, Any], authority: Authority, version: str) -> None:
    options = (
        f"proxy_ssl_trusted_certificate {authority.file}; proxy_ssl_verify on; proxy_ssl_name localhost; "
        f"proxy_ssl_protocols {version};"
    )
    with Nginx(f"{HOST}:{tls_port(gateway)}", scheme="https", options=options) as nginx:
        address = ("127.0.0.1", nginx.port)
        with (
            Load(address, kept=4, fresh=2, model=QUICK) as whole,
            Load(address, streams=6, model=SLOW, seed=2) as streams,
        ):
            for _ in range(2):
                authority.issue()
                gateway.reload()
                replace_one(gateway)
                whole.goes_on()
                streams.goes_on()
        whole.loses_nothing()
        streams.loses_nothing()
        assert "[error]" not in nginx.errors, nginx.errors[:2000]
