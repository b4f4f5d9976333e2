"""The listening sockets. The supervisor holds them, so that no connection in a queue dies with a worker.

* A TCP address has one socket for each worker, all with SO_REUSEPORT: the kernel shares new connections out.
  Their number only grows while the address is served: closing one would reset what waits in its queue.
* The first is bound and listens before it lets others share the port. So another instance of the gateway, or any
  other program, is found: it would otherwise take its share without a word, and every limit would hold twice.
* Port 0 takes a free one, once; all sockets share it.
* ``unix:/path`` has one socket for all workers; the kernel shares nothing out there, so the worker that wakes first
  takes most. A file that nobody answers on is removed and made anew with mode 0666, as nginx does: who may
  connect is decided by the folder it lies in. It is removed at the end if it is still ours.
* What is spoken on a socket is decided by whoever accepts. When that changes, the same sockets get new numbers: for the
  workers they change hands, so nobody who waits in a queue is lost.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from itertools import count

from gateway.server.settings import TLS, Address

BACKLOG = 4096  # given twice: uvloop listens again, with a default of its own
_numbers = count(1)


class Listener:
    """One address and its sockets, by number. Raises OSError when it cannot be served."""

    def __init__(self, address: Address, workers: int, *, beside: Iterable[Listener] = ()) -> None:
        """`beside` are those that this process has open: one of the same port (0.0.0.0 and 127.0.0.1) is no rival."""
        self.address = address
        self.sockets: dict[int, socket.socket] = {}
        self.former: set[int] = set()  # numbers under which something else was spoken
        self._file: tuple[int, int] | None = None
        try:
            if address.path:
                self._keep(self._open_unix(address.path))
            else:
                alone = all(other.port != address.port for other in beside if not other.shared)
                self._keep(_open_tcp(address.host, address.port, alone=alone))
            self.grow(workers)
        except BaseException:
            self.close()
            raise

    @property
    def shared(self) -> bool:
        """One socket for all workers."""
        return bool(self.address.path)

    @property
    def port(self) -> int:
        """As it ended up; 0: it is a unix socket."""
        return 0 if self.shared else int(self._first.getsockname()[1])

    @property
    def where(self) -> str:
        """``host:port``, ``tls:host:port`` or ``unix:/path``."""
        if self.shared:
            return f"unix:{self.address.path}"
        host, port = self._first.getsockname()[:2]
        return (TLS if self.address.tls else "") + (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def grow(self, workers: int) -> None:
        """A socket for each worker, at least."""
        while not self.shared and len(self.sockets) < workers:
            self._keep(_open_tcp(self.address.host, self.port, alone=False))

    def becomes(self, address: Address) -> None:
        """It is written like this from now on; it is the same place."""
        if address.tls != self.address.tls:
            self.former |= self.sockets.keys()
            self.sockets = {next(_numbers): each for each in self.sockets.values()}
        self.address = address

    def refuse(self) -> None:
        """From now on nobody can connect, whoever else has these sockets open."""
        self._unlink()
        for each in self.sockets.values():
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:  # it was already
                continue

    def vanish(self) -> None:
        """A unix socket's file: whoever looks for it finds nobody; those who are connected stay."""
        self._unlink()

    def close(self) -> None:
        """Our copies; the workers have their own."""
        self._unlink()
        self.disown()

    def disown(self) -> None:
        """In a child: only the descriptors."""
        for each in self.sockets.values():
            each.close()

    @property
    def _first(self) -> socket.socket:
        return next(iter(self.sockets.values()))

    def _keep(self, listening: socket.socket) -> None:
        self.sockets[next(_numbers)] = listening

    def _open_unix(self, path: str) -> socket.socket:
        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(path)
            made = os.stat(path)
            self._file = made.st_dev, made.st_ino
            os.chmod(path, 0o666)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
        return listening

    def _unlink(self) -> None:
        if self._file is None:
            return
        try:
            there = os.stat(self.address.path)
            if (there.st_dev, there.st_ino) == self._file:
                os.unlink(self.address.path)
        except OSError:
            pass
        self._file = None


def _open_tcp(host: str, port: int, *, alone: bool) -> socket.socket:
    """A listening socket of a port that others may share from now on; `alone`: provided that nobody has it yet."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # a label of it is empty or too long
        raise OSError("not a host name") from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not alone:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _remove_stale(path: str) -> None:
    """A socket that nobody answers on. Raises OSError if somebody does, or if it is something else."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "there is a file of this name that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # its queue is full: somebody is there
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
