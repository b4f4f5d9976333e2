"""TLS to a provider: verified against the system's store, named, never too old; the errors say what is wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway import errors
from gateway.deadlines import Clock
from gateway.upstream import tls
from tests.harness.certificates import Authority, Pair
from tests.upstream.asking import Client, ask, request, run, until, upstream_of

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def believed(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's store is the authority's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


class Seen:
    """What a TLS server saw."""

    def __init__(self) -> None:
        self.connections = 0
        self.names: list[str | None] = []
        self.versions: list[str | None] = []
        self.port = 0

    def url(self, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}/v1"


@contextmanager
def serving(pair: Pair, answer: bytes = HELLO, *, ends: bool = False, **settings: ssl.TLSVersion) -> Iterator[Seen]:
    """A server that answers whatever comes; `ends`: then it closes, with no closing alert."""
    seen = Seen()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.sni_callback = lambda _connection, name, _context: seen.names.append(name)
    for name, version in settings.items():
        setattr(context, name, version)

    def serve(raw: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
            seen.versions.append(connection.version())
            while connection.recv(65536):
                connection.sendall(answer)
                if ends:
                    raw_end = connection.detach()
                    socket.socket(fileno=raw_end).close()
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                raw, _ = listener.accept()
                seen.connections += 1
                threading.Thread(target=serve, args=(raw,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen.port = listener.getsockname()[1]
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.usefixtures("believed")
def test_who_is_verified_is_asked_and_kept(client: Client, authority: Authority) -> None:
    async def main(url: str) -> None:
        upstream = upstream_of(client)
        outcomes = [await ask(upstream, request(url, b"x" * size)) for size in (2, 1000, 500_000)]
        assert [(each.kind, each.body) for each in outcomes] == [(None, b"hello")] * 3
        assert outcomes[0].clocks == [Clock.CONNECT, Clock.FIRST_CONTENT]
        assert outcomes[1].clocks == [Clock.FIRST_CONTENT]
        await upstream.close()

    with serving(authority.issue(), HELLO) as seen:
        run(lambda: main(seen.url()))
    assert seen.names[0] == "localhost"
    assert seen.versions[0] == "TLSv1.3"


@pytest.mark.usefixtures("believed")
def test_its_end_may_be_the_connections(client: Client, authority: Authority) -> None:
    """Also without the closing alert, which many servers do not send."""

    async def main(url: str) -> None:
        upstream = upstream_of(client)
        outcome = await ask(upstream, request(url))
        assert (outcome.kind, outcome.body) == (None, b"hello")
        await upstream.close()

    with serving(authority.issue(), b"HTTP/1.1 200 OK\r\n\r\nhello", ends=True) as seen:
        run(lambda: main(seen.url()))


@pytest.mark.usefixtures("believed")
def test_a_body_that_breaks_off_is_no_body(client: Client, authority: Authority) -> None:
    async def main(url: str) -> None:
        upstream = upstream_of(client)
        outcome = await ask(upstream, request(url))
        assert (outcome.kind, outcome.body) == (errors.CONNECTION_LOST, b"hel")
        await upstream.close()

    with serving(authority.issue(), HELLO[:-2], ends=True) as seen:
        run(lambda: main(seen.url()))


def refusals(authority: Authority, other: Authority) -> dict[str, tuple[Callable[[], Pair], str, str]]:
    """How a server is wrong, by which name it is called, what is said of it."""
    return {
        "unknown": (lambda: other.issue("unknown"), "localhost", "unable to get local issuer certificate"),
        "expired": (lambda: authority.issue("expired", age=1), "localhost", "certificate has expired"),
        "named otherwise": (lambda: authority.issue("named", "example.com"), "localhost", "localhost"),
        "its address is not its name": (lambda: authority.issue("name", "localhost"), "127.0.0.1", "127.0.0.1"),
    }


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize("case", ["unknown", "expired", "named otherwise", "its address is not its name"])
def test_who_cannot_be_verified_is_refused_and_told_why(
    client: Client, authority: Authority, tmp_path: Path, case: str
) -> None:
    make, host, words = refusals(authority, Authority(tmp_path / "other"))[case]

    async def main(url: str) -> None:
        upstream = upstream_of(client)
        outcome = await ask(upstream, request(url, authorization="Bearer sk-very-secret"))
        assert outcome.kind is errors.CONNECT_FAILED
        assert outcome.error is not None
        assert outcome.error.message.startswith("p0 cannot be reached: TLS: ")
        assert words in outcome.error.message
        assert "sk-very-secret" not in repr(outcome.error.__cause__)
        await upstream.close()

    with serving(make()) as seen:
        run(lambda: main(seen.url(host)))


@pytest.mark.usefixtures("believed")
def test_nothing_older_than_tls_1_2(client: Client, authority: Authority) -> None:
    assert tls.context().minimum_version is ssl.TLSVersion.TLSv1_2

    async def main(url: str) -> None:
        upstream = upstream_of(client)
        assert (await ask(upstream, request(url))).body == b"hello"
        await upstream.close()

    with serving(authority.issue(), maximum_version=ssl.TLSVersion.TLSv1_2) as seen:
        run(lambda: main(seen.url()))
    assert seen.versions == ["TLSv1.2"]


def test_the_store_is_read_once() -> None:
    assert tls.context() is tls.context()


@pytest.mark.usefixtures("believed")
def test_who_is_cancelled_in_the_handshake_leaves_nothing(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        async def main() -> None:
            upstream = upstream_of(client, connections=1)
            for _ in range(3):
                url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
                asked = asyncio.ensure_future(ask(upstream, request(url)))
                silent.setblocking(True)
                connection = await asyncio.to_thread(lambda: silent.accept()[0])
                with connection:
                    assert await asyncio.to_thread(connection.recv, 65536)
                    asked.cancel()
                    await asyncio.wait([asked])
                    assert asked.cancelled()
                    connection.setblocking(False)
                    await until(lambda connection=connection: ended(connection))  # type: ignore[misc]
            await upstream.close()

        run(main)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
