"""``server.tls``: our certificate and its key, and the contexts that workers serve by.

The file names files; what arrives here is what was in them (`references`): they are read once, by whoever checks the
configuration, and travel to the workers with it. So what was checked is what is served, a worker needs no right to read
a key, and two configurations differ when their certificates do, though their text is the same.

* Of each text only the blocks that are meant are kept: a file may hold a key beside its certificate, and then only the
  field that is never shown has it.
* Whether key and certificate fit is tried by making the context that will serve; whether clients will believe the
  certificate, by shaking hands with ourselves. Both is OpenSSL's own judgement: nothing is parsed here.
* OpenSSL reads a key from a file only. It is given one that lives in memory, without a name, for that moment.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from gateway.config.section import Section
from gateway.config.units import refused

BEGIN = "-----BEGIN "
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
SPOKEN = ("http/1.1",)
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: with forward secrecy, whatever Python was built with
MOST_STEPS = 8  # of a handshake with ourselves; it takes three

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----[ \t]*\r?\n[^-]+-----END \1-----")
_ENCRYPTED = re.compile(r"-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED", re.MULTILINE)
_CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE")


def _blocks(text: str, *labels: str) -> list[str]:
    return [match[0] + "\n" for match in _BLOCK.finditer(text) if match[1].endswith(labels)]


def _certificates(text: str) -> str:
    found = "".join(_blocks(text, *_CERTIFICATES))
    if not found:
        raise refused("holds no certificate", f"it must be PEM text, with {BEGIN}CERTIFICATE-----")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except ssl.SSLError:
        raise refused("holds a certificate that cannot be read", "is the file whole?") from None
    return found


def _private_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if _ENCRYPTED.search(text):
        cure = 'write it without one: "openssl pkey -in FILE -out NEW", and let nobody else read it'
        raise refused("is encrypted, and nobody is there to type its passphrase", cure)
    found = _blocks(text, "PRIVATE KEY")
    if not found:
        raise refused("holds no private key", f"it must be PEM text, with {BEGIN}PRIVATE KEY-----")
    return SecretStr(found[0])


def _version(written: Any) -> Any:
    if str(written) not in VERSIONS or isinstance(written, bool):
        raise refused('must be "1.2" or "1.3", found {found}', 'write "1.2"')
    return str(written)  # 1.2 without quotes is a number to YAML


Certificates = Annotated[str, AfterValidator(_certificates)]
PrivateKey = Annotated[SecretStr, AfterValidator(_private_key)]
Minimum = Annotated[
    Literal["1.2", "1.3"],
    BeforeValidator(_version),
    WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]}),
]


class Tls(Section):
    """How the addresses that are written ``tls:HOST:PORT`` are served. Files in the file, PEM texts here."""

    certificate: Annotated[Certificates, Field(repr=False)]  # ours first, then those that signed it
    key: PrivateKey
    client_ca: Annotated[Certificates | None, Field(repr=False)] = None  # whose clients we believe
    client_certificates: Literal["none", "optional", "required"] = "none"
    minimum: Minimum = "1.2"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        asks = self.client_certificates != "none"
        if asks and self.client_ca is None:
            raise refused("asks for client certificates, but names nobody who issues them", "add client_ca: FILE")
        if not asks and self.client_ca is not None:
            raise refused("client_ca has no effect", "write client_certificates: required (or optional), or remove it")
        try:
            self.server_context()
        except ssl.SSLError as error:
            raise _misfit(error.reason or "") from None
        return self

    def server_context(self) -> ssl.SSLContext:
        """For connections made from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[self.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(SPOKEN)
        with _file_in_memory(self.key.get_secret_value() + self.certificate) as path:
            context.load_cert_chain(path, password="")  # nobody is asked for one
        if self.client_ca is not None:
            context.load_verify_locations(cadata=self.client_ca)
        context.verify_mode = VERIFY[self.client_certificates]
        return context

    def doubt(self) -> str | None:
        """Why clients would not believe the certificate, even if they believed who signed it."""
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trusting.load_verify_locations(cadata=_blocks(self.certificate, *_CERTIFICATES)[0])
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        client, server = trusting.wrap_bio(down, up), self.server_context().wrap_bio(up, down, server_side=True)
        for step in range(MOST_STEPS):
            try:
                (server if step % 2 else client).do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            except ssl.SSLError:  # it misses a certificate of the client's: later than what is looked for here
                break
        return None


def _misfit(reason: str) -> Exception:
    if "MISMATCH" in reason or reason == "NO_CERTIFICATE_ASSIGNED":  # for this kind of key
        cure = "the server's own certificate comes first in its file, then those that signed it"
        return refused("the key does not belong to the certificate", cure)
    if not reason:  # the certificates have been read before
        return refused("the key cannot be read", "is the file whole?")
    told = reason.lower().replace("_", " ")
    return refused(f"OpenSSL refuses the key or the certificate: {told}", "see how they were made")


@contextmanager
def _file_in_memory(text: str) -> Iterator[str]:
    with os.fdopen(os.memfd_create("tls"), "w") as file:
        file.write(text)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
