"""Certificates of clients, and the lowest version: who gets in, and what those hear who do not."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.harness import Gateway, config_for
from tests.harness.certificates import Authority
from tests.server.raw import HELLO, Wire, request
from tests.server.test_tls import HOST, tls_port


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"))


def serving(ours: Authority, **tls: str) -> Gateway:
    server = {"listen": ["127.0.0.1:0", f"tls:{HOST}:0"], "tls": {**ours.issue().section, **tls}}
    return Gateway(config_for(server=server))


@pytest.fixture(scope="module", params=["none", "optional", "required"])
def gateway(request: pytest.FixtureRequest, ours: Authority) -> Iterator[tuple[str, Gateway]]:
    asked = {} if request.param == "none" else {"client_ca": str(ours.file), "client_certificates": request.param}
    with serving(ours, **asked) as running:
        yield request.param, running


def refusal(gateway: Gateway, context: ssl.SSLContext) -> str | None:
    """What the client hears; None: it is answered. In TLS 1.3 it hears of it with the answer."""
    try:
        with Wire(tls_port(gateway), host=HOST, tls=context) as wire:
            assert wire.ask(request(HELLO)).status == 200
    except ssl.SSLError as error:
        return error.reason
    return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_whose_certificate_opens_the_door(
    gateway: tuple[str, Gateway], ours: Authority, theirs: Authority, version: ssl.TLSVersion
) -> None:
    asked, running = gateway

    def heard(who: Authority | None, age: float = 0) -> str | None:
        presented = None if who is None else who.issue("client", "somebody", age=age)
        return refusal(running, ours.trusted(presented, maximum_version=version))

    missing = {ssl.TLSVersion.TLSv1_2: "SSLV3_ALERT_HANDSHAKE_FAILURE"}.get(
        version, "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    )
    assert heard(ours) is None
    assert heard(None) == (missing if asked == "required" else None)
    assert heard(theirs) == (None if asked == "none" else "TLSV1_ALERT_UNKNOWN_CA")
    assert heard(ours, age=1) == (None if asked == "none" else "SSLV3_ALERT_CERTIFICATE_EXPIRED")
    assert refusal(running, ours.trusted(ours.issue("client", "somebody"), maximum_version=version)) is None
    assert [line for line in running.log if line["level"] not in ("info", "debug")] == []
    assert "Traceback" not in running.output


def test_the_plain_address_beside_asks_nobody(gateway: tuple[str, Gateway]) -> None:
    assert httpx.get(f"{gateway[1].url}/health", timeout=20).status_code == 200


def test_a_higher_minimum(ours: Authority) -> None:
    with serving(ours, minimum="1.3") as running:
        assert refusal(running, ours.trusted(maximum_version=ssl.TLSVersion.TLSv1_2)) == "TLSV1_ALERT_PROTOCOL_VERSION"
        assert refusal(running, ours.trusted()) is None
