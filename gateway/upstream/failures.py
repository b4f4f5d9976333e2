"""What goes wrong on the way to a provider and back, as the errors that callers know: one place for both clients.

The texts name the provider, the reason and nothing that was sent: no header, no address of a key.
"""

from __future__ import annotations

import errno
import socket
import ssl

from gateway import errors
from gateway.errors import GatewayError

OURS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)  # says nothing of the provider


def unreachable(provider: str, problem: BaseException) -> GatewayError:
    """No connection came about."""
    if isinstance(problem, socket.gaierror):
        return unresolvable(provider)
    if isinstance(problem, OSError) and problem.errno in OURS and not isinstance(problem, ssl.SSLError):
        message = f"the gateway has no descriptor or port left for a connection to {provider}"
        return GatewayError(errors.NO_CONNECTION, message, retry_after=1)
    reason = getattr(problem, "strerror", None) or type(problem).__name__
    if isinstance(problem, ssl.SSLError):
        said = getattr(problem, "verify_message", None)  # why a certificate is refused
        reason = f"TLS: {said or problem.reason}"
    return GatewayError(errors.CONNECT_FAILED, f"{provider} cannot be reached: {reason}")


def unresolvable(provider: str) -> GatewayError:
    return GatewayError(errors.CONNECT_FAILED, f"{provider}: its host name cannot be resolved")


def lost(provider: str) -> GatewayError:
    """It closed the connection before the head of its answer was here."""
    return GatewayError(errors.CONNECTION_LOST, f"{provider} closed the connection before it answered")


def nonsense(provider: str, reason: str) -> GatewayError:
    """What came is no answer."""
    return GatewayError(errors.NONSENSE, f"{provider} answered what is not HTTP ({reason})")


def broken_off(provider: str, reason: str) -> GatewayError:
    """The head of its answer was here, its end did not come."""
    return GatewayError(errors.CONNECTION_LOST, f"{provider} broke off its answer ({reason})")
