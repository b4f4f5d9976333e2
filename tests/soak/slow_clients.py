"""``python -m tests.soak.slow_clients PORT KIND=NUMBER …``: clients that take or give a byte a second.

    streams     take a stream that never ends             heads     give a head
    answers     take an answer of 1 MiB, which the        bodies    give a body
                kernel takes over as a rule
    large       take one of 8 MiB, which it does not

It says "running" when all are connected and have given what they give at once, keeps them slow, and for every line
that it reads says by kind how many know of their end. Those that take have the smallest receive buffer that the kernel
allows; they hardly ever know: their end stands behind all that the kernel keeps for them.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Callable

import uvloop

from tests.harness.load import chat_request
from tests.soak.program import many_files, say

STREAM = {"number": "1", "events": "1000000000", "interval_ms": "0"}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
AT_ONCE = 100


def asking(play: dict[str, str], *, stream: bool) -> bytes:
    fields = {"model": "m", "messages": [{"role": "user", "content": "go"}], "stream": stream, "metadata": play}
    return chat_request(fields)


KINDS: dict[str, Callable[[], bytes]] = {
    "streams": lambda: asking(STREAM, stream=True),
    "answers": lambda: asking({"size": "1048576"}, stream=False),
    "large": lambda: asking({"size": "8388608"}, stream=False),
    "heads": lambda: HEAD,
    "bodies": lambda: HEAD + b"content-type: application/json\r\ncontent-length: 100000\r\n\r\n{",
}
GIVERS = {"heads": b"x", "bodies": b" "}


class Slow:
    """One of them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.over = False
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if kind not in GIVERS:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    async def begin(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", port))
        await loop.sock_sendall(self._socket, KINDS[self.kind]())

    def go_on(self) -> None:
        """A byte. Whoever gives is over when anything comes: that it was too slow."""
        try:
            if self.kind in GIVERS:
                self._socket.send(GIVERS[self.kind])
                self._socket.recv(4096)
                self.over = True
            else:
                self.over = not self._socket.recv(1)
        except BlockingIOError:
            return
        except OSError:
            self.over = True
        if self.over:
            self._socket.close()


async def main(port: int, numbers: dict[str, int]) -> None:
    every = [Slow(kind) for kind, number in numbers.items() for _ in range(number)]
    for first in range(0, len(every), AT_ONCE):
        await asyncio.gather(*(each.begin(port) for each in every[first : first + AT_ONCE]))
    slow = asyncio.create_task(keep_slow(every))
    say("running")
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        say(Counter(each.kind for each in every if each.over))
    slow.cancel()


async def keep_slow(every: list[Slow]) -> None:
    while True:
        await asyncio.sleep(1.0)
        for each in every:
            if not each.over:
                each.go_on()


if __name__ == "__main__":
    many_files()
    asked = (argument.partition("=") for argument in sys.argv[2:])
    uvloop.run(main(int(sys.argv[1]), {kind: int(number) for kind, _, number in asked}))
