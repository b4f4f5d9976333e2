"""A policy that misbehaves as a file tells it, and says what its process is like.

`orders` names a JSON file, read whenever one is made: ``{"checker": "hang", "worker": "exit"}``. Whether it is
made in the checker or in a worker shows in the session: a checker leads one of its own. A request with the header
``x-probe`` gets the facts of its worker instead of an answer, or ends the worker.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from gateway._fast import uniform
from gateway.config import PolicyOptions
from gateway.errors import GatewayError, Kind, Whose
from gateway.exchange import Exchange
from gateway.telemetry.request_id import request_id

PR_GET_PDEATHSIG = 2
FACTS = Kind(418, "invalid_request_error", "facts", Whose.CLIENT)


class ProbeOptions(PolicyOptions):
    orders: str
    round: int = 0  # another number is another policy: made anew by a reload


class Probe:
    """Does what it is told."""

    Options = ProbeOptions

    def __init__(self, options: ProbeOptions) -> None:
        self.draws = [draw() for _ in range(4) for draw in (random.random, uniform)]
        orders = json.loads(Path(options.orders).read_text())
        role = "checker" if os.getsid(0) == os.getpid() else "worker"
        perform(orders.get(role, "nothing"))

    def on_head(self, exchange: Exchange) -> None:
        order = exchange.headers.get("x-probe")
        if order == "facts":
            raise GatewayError(FACTS, json.dumps(facts() | {"draws": self.draws}))
        if order is not None:
            perform(order)


def perform(order: str) -> None:
    if order == "hang":
        time.sleep(3600)
    elif order == "exit":
        os._exit(9)
    elif order == "sys.exit":
        sys.exit(9)
    elif order == "raise":
        raise RuntimeError("as ordered")
    elif order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "abort":
        os.abort()
    elif order == "threads":
        threading.Thread(target=time.sleep, args=(3600,)).start()
    elif order == "fork":  # a child that would outlive us and holds whatever we had open
        if os.fork() == 0:
            time.sleep(3600)
            os._exit(0)
    elif order == "print":
        print("x" * 200_000)
    elif order != "nothing":
        raise AssertionError(order)


def facts() -> dict[str, object]:
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "death_signal": number.value,
        "ids": [request_id(None) for _ in range(500)],
    }
