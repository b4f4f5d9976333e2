"""A certificate for the TLS upstream, made for one run: its own authority, and a server for `localhost`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

AUTHORITY = ("authority.pem", "authority.key")
SERVER = ("server.pem", "server.key")
NEW = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
FOR_SERVERS = """
subjectAltName=DNS:localhost,IP:127.0.0.1
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
authorityKeyIdentifier=keyid
"""


def make(folder: Path) -> str | None:
    """Write AUTHORITY and SERVER into the folder; return what is missing for that, if something is."""
    if shutil.which("openssl") is None:
        return "openssl not found, so no TLS upstream: apt-get install openssl"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.ext").write_text(FOR_SERVERS)
    key_usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    request = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    sign = ["openssl", "x509", "-req", "-days", "2", "-CAcreateserial", "-extfile", "server.ext"]
    for command in (
        [*NEW, "-subj", "/CN=benchmark authority", *key_usage, "-out", AUTHORITY[0], "-keyout", AUTHORITY[1]],
        [*request, "-subj", "/CN=localhost", "-out", "server.csr", "-keyout", SERVER[1]],
        [*sign, "-in", "server.csr", "-CA", AUTHORITY[0], "-CAkey", AUTHORITY[1], "-out", SERVER[0]],
    ):
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            return f"no certificate, so no TLS upstream: {done.stderr.strip()[-300:]}"
    return None
