"""Certificates as operators have them: issued when asked for, in PEM files that the gateway reads."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "127.0.0.2")


class Authority:
    """Issues certificates and is believed by `trusted`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.file = folder / "authority.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str = "server", *names: str, age: float = 0, key: trustme.KeyType | None = None) -> Pair:
        """For `names`, or this machine; `age`: so many days ago it expired."""
        until = datetime.now(UTC) - timedelta(days=age) if age else None
        since = datetime.now(UTC) - timedelta(days=age + 30) if age else None
        made = self._authority.issue_cert(
            *(names or NAMES), not_before=since, not_after=until, key_type=key or trustme.KeyType.ECDSA
        )
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        for file, content in ((pair.certificate, chain), (pair.key, made.private_key_pem.bytes())):
            beside = file.with_suffix(".new")
            beside.write_bytes(content)
            os.replace(beside, file)
        return pair

    def trusted(self, presented: Pair | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
        """A client that believes us, and presents a certificate if it is given one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if presented is not None:
            context.load_cert_chain(presented.certificate, presented.key)
        for name, version in versions.items():
            setattr(context, name, version)
        return context


class Pair:
    """Two files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate, self.key = certificate, key

    @property
    def section(self) -> dict[str, str]:
        """As `server.tls` names them."""
        return {"certificate": str(self.certificate), "key": str(self.key)}

    @property
    def secrets(self) -> list[str]:
        """The lines of the key, none of which may be seen anywhere."""
        return [line for line in self.key.read_text().splitlines() if not line.startswith("-----")]


def serial_of(connection: ssl.SSLSocket | ssl.SSLObject) -> str:
    """Of the certificate that the other side has presented."""
    presented = connection.getpeercert()
    assert presented
    return str(presented["serialNumber"])
