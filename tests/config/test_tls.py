"""``server.tls``: files become certificates, wrong ones a problem at their place, and the key is never seen."""

from __future__ import annotations

import pickle
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from gateway.config import Config, ConfigError, Tls, load
from tests.harness.certificates import Authority, Pair

Written = Callable[..., Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue()


@pytest.fixture
def configured(tmp_path: Path) -> Written:
    """A configuration with these under ``server.tls``."""

    def written(**tls: object) -> Path:
        lines = "".join(f"    {key}: {value}\n" for key, value in tls.items())
        file = tmp_path / "gateway.yaml"
        file.write_text(f'server:\n  listen: "tls:127.0.0.1:0"\n  tls:\n{lines}')
        return file

    return written


def tls_of(config: Config) -> Tls:
    assert config.server.tls is not None
    return config.server.tls


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load([file])
    return [str(each).removeprefix(f"{file}:") for each in caught.value.problems]


def test_what_is_in_the_files_arrives(configured: Written, pair: Pair, authority: Authority) -> None:
    config = load([configured(**pair.section, client_ca=authority.file, client_certificates="optional", minimum=1.3)])
    tls = tls_of(config)
    assert config.warnings == ()
    assert (tls.certificate, tls.key.get_secret_value()) == (pair.certificate.read_text(), pair.key.read_text())
    assert (tls.client_certificates, tls.minimum) == ("optional", "1.3")
    context = tls.server_context()
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_OPTIONAL, ssl.TLSVersion.TLSv1_3)
    assert context.get_ca_certs()
    lowest = tls_of(load([configured(**pair.section)])).server_context()
    assert all("ECDHE" in each["name"] or each["protocol"] == "TLSv1.3" for each in lowest.get_ciphers())
    assert (lowest.verify_mode, lowest.minimum_version) == (ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2)


def test_paths_and_references_are_as_good(tmp_path: Path, configured: Written, pair: Pair) -> None:
    """Relative ones begin at the file's folder; PEM text may come from anywhere."""
    for name in ("certificate", "key"):
        (tmp_path / f"own.{name}").write_bytes(getattr(pair, name).read_bytes())
    named = load([configured(certificate="own.certificate", key="own.key")])
    referred = load(
        [configured(certificate='"${file:own.certificate}"', key='"${env:PEM}"')], environ={"PEM": pair.key.read_text()}
    )
    placed = load(
        [configured(certificate='"${env:HERE}.certificate"', key='"${env:HERE}.key"')], environ={"HERE": "own"}
    )
    assert tls_of(named) == tls_of(referred) == tls_of(placed)


def test_another_certificate_in_the_same_file_is_another_configuration(
    configured: Written, authority: Authority
) -> None:
    pair = authority.issue()
    file = configured(**pair.section)
    before = load([file])
    assert load([file]) == before
    authority.issue()
    assert load([file]) != before


def test_the_key_is_never_shown(configured: Written, pair: Pair, tmp_path: Path) -> None:
    """Not even when it stands in the certificate's file; to the workers it travels."""
    both = tmp_path / "both.pem"
    both.write_text("some words\n" + pair.key.read_text() + pair.certificate.read_text() + "more words\n")
    config = load([configured(certificate=both, key=both)])
    assert tls_of(config) == tls_of(load([configured(**pair.section)]))
    shown = repr(config) + str(config.model_dump()) + config.model_dump_json() + str(tls_of(config).server_context())
    assert [line for line in pair.secrets if line in shown] == []
    again: Config = pickle.loads(pickle.dumps(config))
    assert again == config
    assert tls_of(again).key.get_secret_value() == pair.key.read_text()
    assert isinstance(tls_of(again).server_context(), ssl.SSLContext)


def test_a_key_in_plain_text_is_warned_about(tmp_path: Path, pair: Pair) -> None:
    indented = pair.key.read_text().replace("\n", "\n      ")
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f'server:\n  listen: "tls:[::1]:0"\n  tls:\n    certificate: {pair.certificate}\n    key: |\n      {indented}\n'
    )
    (warning,) = load([file]).warnings
    assert str(warning).endswith('server.tls.key: a secret in plain text; write "${env:NAME}" or "${file:PATH}"')


@pytest.mark.parametrize("days", [1, 400])
def test_an_expired_one_is_warned_about(configured: Written, authority: Authority, days: int) -> None:
    (warning,) = load([configured(**authority.issue("old", age=days).section)]).warnings
    assert str(warning).endswith(
        ":4:18: server.tls.certificate: clients refuse it: certificate has expired; get a new one"
    )


def test_whoever_asks_for_certificates_is_doubted_too(configured: Written, authority: Authority) -> None:
    asking = {"client_ca": authority.file, "client_certificates": "required"}
    assert load([configured(**authority.issue().section, **asking)]).warnings == ()
    assert len(load([configured(**authority.issue("old", age=1).section, **asking)]).warnings) == 1


OTHER = (
    "3:3: server.tls: the key does not belong to the certificate; "
    "the server's own certificate comes first in its file, then those that signed it"
)
READ = "3:3: server.tls: the key cannot be read; is the file whole?"
TEXT = "it must be PEM text, with -----BEGIN"


def encrypted(pair: Pair, *options: str) -> None:
    """As openssl does it, in both of its forms."""
    command = ["openssl", "pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:a-passphrase", *options]
    pair.key.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)


def test_a_key_that_does_not_fit(configured: Written, authority: Authority, pair: Pair) -> None:
    for kind in (trustme.KeyType.ECDSA, trustme.KeyType.RSA):
        other = authority.issue("other", key=kind)
        assert problems(configured(certificate=pair.certificate, key=other.key)) == [OTHER]
    chain = pair.certificate.read_text() + authority.file.read_text()
    pair.certificate.write_text(authority.file.read_text() + chain)
    assert problems(configured(**pair.section)) == [OTHER]


def test_a_key_that_nobody_can_read(configured: Written, pair: Pair) -> None:
    text = pair.key.read_text()
    first, line, rest = text.split("\n", 2)
    pair.key.write_text(f"{first}\nAAAA{line[4:]}\n{rest}")
    assert problems(configured(**pair.section)) == [READ]
    for form in ((), ("-traditional",)):
        pair.key.write_text(text)
        encrypted(pair, *form)
        (problem,) = problems(configured(**pair.section))
        assert ": server.tls.key: is encrypted, and nobody is there to type its passphrase; write it without" in problem


def test_files_that_hold_something_else(configured: Written, pair: Pair, tmp_path: Path) -> None:
    swapped = problems(configured(certificate=pair.key, key=pair.certificate))
    assert [each.partition(": ")[2] for each in swapped] == [
        f"server.tls.certificate: holds no certificate; {TEXT} CERTIFICATE-----",
        f"server.tls.key: holds no private key; {TEXT} PRIVATE KEY-----",
    ]
    der = tmp_path / "binary.pem"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(pair.certificate.read_text()))
    (problem,) = problems(configured(certificate=der, key=pair.key))
    assert "holds no certificate" in problem
    half = tmp_path / "half.pem"
    text = pair.certificate.read_text()
    half.write_text(text[:100] + text[300:])
    (problem,) = problems(configured(certificate=half, key=pair.key))
    assert problem.endswith("server.tls.certificate: holds a certificate that cannot be read; is the file whole?")
    (problem,) = problems(configured(certificate=tmp_path, key=pair.key))
    assert problem.endswith("is not a regular file; name a file that holds the value")


def test_asking_and_believing_go_together(configured: Written, pair: Pair, authority: Authority) -> None:
    assert problems(configured(**pair.section, client_certificates="required")) == [
        "3:3: server.tls: asks for client certificates, but names nobody who issues them; add client_ca: FILE"
    ]
    assert problems(configured(**pair.section, client_ca=authority.file)) == [
        "3:3: server.tls: client_ca has no effect; write client_certificates: required (or optional), or remove it"
    ]
