"""Our side of TLS connections, where OpenSSL and asyncio leave something to be wished for.

* A connection that is still being agreed upon is none of the server's yet: whoever leaves must know of it, or it would
  be cut although its client believes itself connected.
* Whoever cannot come to an agreement with us is told why, in the words of TLS (an alert). By itself asyncio closes
  before they are sent, and "certificate required" looks to the client like a server that is down. Who speaks no TLS at
  all is told nothing, and neither fills the log: anybody can connect.
* We say goodbye and go, as nginx does and RFC 8446 §6.1 allows. By itself asyncio waits until the client has answered,
  and the idle connection of a client's pool is not read by anybody: each would hold up a drain.
"""

from __future__ import annotations

import logging
import ssl
import time
from contextlib import suppress
from weakref import WeakKeyDictionary

from gateway.config import Tls

HANDSHAKE = 10.0  # seconds for a client to come to an agreement; then it is cut
TOLD = frozenset({  # OpenSSL's reasons that a client can do something about
    "CERTIFICATE_VERIFY_FAILED", "INAPPROPRIATE_FALLBACK", "NO_SHARED_CIPHER", "NO_SUITABLE_KEY_SHARE",
    "NO_SUITABLE_SIGNATURE_ALGORITHM", "PEER_DID_NOT_RETURN_A_CERTIFICATE", "UNSUPPORTED_PROTOCOL",
})  # fmt: skip
FLUSH = 60.0  # seconds for it to take what is left when its connection is closed, as `streaming.client_write`


log = logging.getLogger("gateway")


class OurSide(ssl.SSLObject):
    """One connection."""

    _refused: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refused is not None:  # it was told, and goes on
            raise self._refused
        begun = _under_way.pop(self, None) or time.monotonic()
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            _under_way[self] = begun
            raise
        except ssl.SSLError as error:
            log.debug("no agreement on TLS", extra={"reason": error.reason})
            if error.reason not in TOLD:
                raise
            self._refused = error.with_traceback(None)
            raise ssl.SSLWantReadError from None  # what is to be sent is sent, and the client's leaving awaited

    def unwrap(self) -> None:
        with suppress(ssl.SSLWantReadError):  # the client's goodbye has not come
            super().unwrap()


_under_way: WeakKeyDictionary[OurSide, float] = WeakKeyDictionary()  # since when; of this process


def under_way() -> bool:
    """Somebody is connecting this very moment."""
    now = time.monotonic()
    return any(now - begun < HANDSHAKE for begun in _under_way.values())


def context_of(tls: Tls | None) -> ssl.SSLContext | None:
    """By which connections are made from now on."""
    if tls is None:
        return None
    context = tls.server_context()
    context.sslobject_class = OurSide
    return context
