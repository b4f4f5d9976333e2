"""TLS on an address of its own: what is agreed upon, what is served over it, and who is turned away without a noise."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.harness import Gateway, config_for, eventually
from tests.harness.certificates import Authority, serial_of
from tests.harness.processes import clients
from tests.server.raw import CEILING, HELLO, Wire, request

HOST = "127.0.0.2"  # beside the plain address


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=["fast", "aiohttp"])
def gateway(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Gateway]:
    server = {"listen": ["127.0.0.1:0", f"tls:{HOST}:0"], "tls": authority.issue().section}
    with Gateway(config_for(server=server, logging={"level": "info"}), lane=request.param) as running:
        yield running


@pytest.fixture
def port(gateway: Gateway) -> int:
    return tls_port(gateway)


def tls_port(gateway: Gateway) -> int:
    found = re.search(rf"https://{re.escape(HOST)}:(\d+)", gateway.output)
    assert found
    return int(found[1])


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_the_newest_that_both_can(gateway: Gateway, authority: Authority, port: int, version: str) -> None:
    context = authority.trusted(maximum_version=ssl.TLSVersion[version.replace(".", "_")])
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Wire(port, host=HOST, tls=context) as wire:
        spoken = wire.socket
        assert isinstance(spoken, ssl.SSLSocket)
        assert (spoken.version(), spoken.selected_alpn_protocol()) == (version, "http/1.1")
        for _ in range(3):
            assert wire.ask(request(HELLO)).status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_what_is_too_old_is_refused(gateway: Gateway, authority: Authority, port: int) -> None:
    context = authority.trusted(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this side would refuse to ask
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        Wire(port, host=HOST, tls=context)


def test_pages_answers_and_streams(gateway: Gateway, authority: Authority, port: int) -> None:
    """Mixed on one connection, and by the official SDK."""
    base = f"https://{HOST}:{port}"
    with httpx.Client(verify=authority.trusted(), base_url=base) as http:
        for path in ("/health", "/health/ready", "/metrics", "/v1/models", "/openapi.json"):
            assert http.get(path).status_code == 200, path
        assert http.head("/health").status_code == 200
        client = OpenAI(base_url=f"{base}/v1", api_key="-", http_client=http, max_retries=0)
        message: Any = {"role": "user", "content": "one two three"}
        whole = client.chat.completions.create(model="echo", messages=[message])
        assert whole.choices[0].message.content == "one two three"
        stream: Any = client.chat.completions.create(model="echo", messages=[message], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "one two three"
        assert http.get("/nowhere").status_code == 404
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{base}/health")


@pytest.mark.parametrize("size", [1 << 20, 8 << 20])
def test_large_bodies_both_ways(gateway: Gateway, authority: Authority, port: int, size: int) -> None:
    body = b'{"model":"echo","messages":[{"role":"user","content":"%b"}]}' % (b"x" * size)
    with Wire(port, host=HOST, tls=authority.trusted()) as wire:
        assert len(wire.ask(request(body)).json["choices"][0]["message"]["content"]) == size
        assert wire.ask(request(HELLO)).status == 200


def test_a_goodbye_is_not_waited_for(gateway: Gateway, authority: Authority, port: int) -> None:
    """The pool of a client reads an idle connection only when it is wanted again."""
    (worker,) = gateway.workers
    with Wire(port, host=HOST, tls=authority.trusted()) as wire:
        mine = wire.socket.getsockname()[1]
        assert wire.ask(request(HELLO)).status == 200
        assert mine in clients(worker, port)
        assert wire.ask(request(HELLO, headers={"Connection": "close"})).status == 200
        eventually(lambda: mine not in clients(worker, port), what="it is closed, although this side says nothing")
        assert wire.is_closed()


NOISE = {
    "plain HTTP": request(HELLO),
    "a page": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "garbage": os.urandom(5000),
    "zeros": bytes(100),
    "half a hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "nothing": b"",
}


@pytest.mark.parametrize("what", NOISE)
def test_what_is_no_tls_is_closed_and_no_line_is_written(gateway: Gateway, port: int, what: str) -> None:
    (worker,) = gateway.workers
    before, printed = len(gateway.log), gateway.output
    with socket.create_connection((HOST, port), timeout=CEILING) as client:
        client.sendall(NOISE[what])
        client.shutdown(socket.SHUT_WR)
        said = b""
        try:
            while more := client.recv(1000):
                said += more
        except ConnectionResetError:
            pass
        assert b"HTTP" not in said
    eventually(lambda: not clients(worker, port), what="nobody is left")
    assert len(gateway.log) == before
    assert gateway.output == printed


def test_a_client_that_only_speaks_http_2_is_told_so(gateway: Gateway, authority: Authority, port: int) -> None:
    context = authority.trusted()
    context.set_alpn_protocols(["h2"])
    with Wire(port, host=HOST, tls=context) as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        assert wire.socket.selected_alpn_protocol() is None
        answer = wire.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), method="GET")
        assert answer.status in (400, 505)
        assert wire.is_closed()


def test_a_handshake_that_does_not_end_is_cut(gateway: Gateway, port: int) -> None:
    """And nobody else is kept waiting by it."""
    (worker,) = gateway.workers
    with socket.create_connection((HOST, port), timeout=10 * CEILING) as client:
        client.sendall(NOISE["half a hello"])
        assert client.recv(100) == b""
    eventually(lambda: not clients(worker, port), what="nobody is left")


def test_nothing_of_the_key_is_seen(gateway: Gateway, authority: Authority, port: int) -> None:
    gateway.reload()
    with Wire(port, host=HOST, tls=authority.trusted()) as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        assert serial_of(wire.socket)
    seen = gateway.output + (gateway.folder / "app.log").read_text()
    for path in (gateway.process.pid, *gateway.workers):
        seen += Path(f"/proc/{path}/cmdline").read_text() + Path(f"/proc/{path}/environ").read_text()
        assert not [each for each in Path(f"/proc/{path}/fd").iterdir() if "memfd:tls" in os.readlink(each)]
    key = (authority.folder / "server.key").read_text().splitlines()[1:-1]
    assert key
    assert [line for line in key if line in seen] == []
