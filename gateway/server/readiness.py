"""Telling systemd how we are (``Type=notify``): a datagram to the socket that $NOTIFY_SOCKET names.

Without one, or when nobody listens there, nothing happens.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """sd_notify, the part that we need."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def ready(self) -> None:
        self._say("READY=1", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """`ready` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),  # nobody listens, or there is no descriptor left to speak by
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end,
        ):
            end.sendto("\n".join(lines).encode(), self._address)
