"""Providers behind a proxy: whose they are, which proxy it is, what is said of it, and that it works."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.upstream import tls
from gateway.upstream.proxies import Proxies
from tests.harness import FakeProvider, Gateway, config_for, eventually, whole
from tests.harness.certificates import Authority
from tests.upstream.asking import Client, Outcome, ask, request, run, upstream_of
from tests.upstream.test_tls import serving

USER = "someone:pass-of-the-proxy"


class Proxy:
    """Passes on what it is asked for: after a CONNECT, or as a request with the whole address. `status`: or refuses."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.status = 200
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            read = b""
            while b"\r\n\r\n" not in read:
                read += client.recv(65536)
            head = read.partition(b"\r\n\r\n")[0].decode()
            self.heads.append(head)
            if self.status != 200:
                client.sendall(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self.status)
                return
            method, target, _ = head.partition("\r\n")[0].split(" ")
            place = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
            host, _, port = place.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    server.sendall(read)
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join(10)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as running:
        yield running


def asked(client: Client, url: str, proxies: Mapping[str, str]) -> Outcome:
    async def main() -> Outcome:
        upstream = upstream_of(client, proxies=Proxies("p0", proxies))
        outcomes = [await ask(upstream, request(url, authorization="Bearer sk-very-secret")) for _ in range(2)]
        await upstream.close()
        return outcomes[-1]

    return run(main)


def test_a_plain_provider_behind_a_proxy(client: Client, provider: FakeProvider, proxy: Proxy) -> None:
    provider.answer(whole(b"hello"))
    outcome = asked(client, provider.url, {"http": f"http://{USER}@127.0.0.1:{proxy.port}"})
    assert (outcome.kind, outcome.body) == (None, b"hello")
    assert proxy.heads[0].startswith(f"POST {provider.url} HTTP/1.1\r\n")
    assert base64.b64encode(USER.encode()).decode() in proxy.heads[0]


def test_an_encrypted_provider_behind_a_proxy(
    client: Client, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls.context.cache_clear()
    with serving(authority.issue()) as server:
        outcome = asked(client, server.url(), {"https": f"127.0.0.1:{proxy.port}"})
    tls.context.cache_clear()
    assert (outcome.kind, outcome.body) == (None, b"hello")
    assert proxy.heads[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n")
    assert "sk-very-secret" not in "".join(proxy.heads), "the proxy sees no key"


@pytest.mark.parametrize("status", [407, 403, 502])
def test_a_proxy_that_refuses(client: Client, proxy: Proxy, status: int) -> None:
    proxy.status = status
    outcome = asked(client, "https://localhost:1/v1", {"https": f"http://{USER}@127.0.0.1:{proxy.port}"})
    assert outcome.kind is errors.CONNECT_FAILED
    assert str(outcome.error) == f"p0 cannot be reached: its proxy answered {status}"


def test_a_proxy_that_is_not_there(client: Client) -> None:
    outcome = asked(client, "https://localhost:1/v1", {"https": f"http://{USER}@127.0.0.1:1"})
    assert outcome.kind is errors.CONNECT_FAILED
    assert USER not in str(outcome.error)


HERE = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("url", "proxies", "chosen"),
    [
        ("http://a.test/v1", {"http": HERE}, HERE),
        ("https://a.test/v1", {"http": HERE}, None),
        ("https://a.test/v1", {"https": HERE, "http": "http://other"}, HERE),
        ("https://a.test/v1", {"https": "proxy.test:3128"}, HERE),
        ("https://a.test/v1", {"https": HERE, "no": "*"}, None),
        ("https://a.test/v1", {"https": HERE, "no": "b.test, A.test"}, None),
        ("https://x.a.test/v1", {"https": HERE, "no": ".a.test"}, None),
        ("https://xa.test/v1", {"https": HERE, "no": ".a.test"}, HERE),
        ("https://a.test:8443/v1", {"https": HERE, "no": "a.test:8443"}, None),
        ("https://a.test/v1", {"https": HERE, "no": "a.test:8443"}, HERE),
        ("http://[::1]:80/v1", {"http": HERE, "no": "localhost,::1"}, None),
        ("http://127.0.0.1:80/v1", {"http": HERE, "no": "localhost,127.0.0.1"}, None),
        ("http://a.test/v1", {}, None),
    ],
)
def test_whose_proxy_it_is(url: str, proxies: Mapping[str, str], chosen: str | None) -> None:
    assert Proxies("p0", proxies).of(url) == chosen


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", HERE)
    monkeypatch.setenv("NO_PROXY", "b.test")
    proxies = Proxies("p0")
    assert [proxies.of(url) for url in ("https://a.test", "https://b.test", "http://a.test")] == [HERE, None, None]


def test_a_kind_of_proxy_that_nobody_speaks_to() -> None:
    with pytest.raises(GatewayError, match="its proxy is no HTTP proxy") as caught:
        Proxies("p0", {"https": f"socks5://{USER}@proxy.test"}).of("https://a.test/v1")
    assert caught.value.kind is errors.CONNECT_FAILED
    assert USER not in caught.value.message


def test_the_log_names_it_once_and_no_password(provider: FakeProvider, proxy: Proxy, lane: str) -> None:
    environ = {"HTTP_PROXY": f"http://{USER}@127.0.0.1:{proxy.port}", "NO_PROXY": "", "no_proxy": ""}
    with Gateway(config_for(provider.url), lane=lane, environ=environ) as gateway:
        provider.answer(whole(b'{"choices":[]}'))
        for _ in range(3):
            assert gateway.chat().status_code == 200
        told = f"p0 is reached through the proxy http://127.0.0.1:{proxy.port}"
        eventually(lambda: any(line["message"] == told for line in gateway.log))
        assert [line["level"] for line in gateway.log if "proxy" in line["message"]] == ["info"]
        assert not [line for line in gateway.log if "pass-of-the-proxy" in str(line)]
    assert len(proxy.heads) == 1, "the connection is kept"
