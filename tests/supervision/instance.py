"""The gateway these tests look at: its configuration, what it says of itself, and how it is changed while it runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.harness import Gateway, Seen, chunked, config_for, events, eventually, whole
from tests.harness.sampling import read

PLUG_INS = Path(__file__).parent / "plug_ins"
RELOADS = 'llm_gateway_config_reload_total{{result="{}"}}'
QUICK = "quick"  # answers at once
SLOW = "slow"  # word by word


def configuration(*urls: str, workers: int = 2, pace: str = "50ms", **sections: Any) -> dict[str, Any]:
    """Two built-in providers, and a real one for each url."""
    config = config_for(*urls, **sections)
    config["server"] = {"worker_timeout": "5s", "drain_timeout": "20s", **config["server"], "workers": workers}
    config["providers"] = {
        "quick": {"type": "echo", "models": {QUICK: {}}},
        "slow": {"type": "echo", "pace": pace, "models": {SLOW: {}}},
        **({name: options for name, options in config["providers"].items() if name != "echo"}),
    }
    return config


def with_probe(config: dict[str, Any], orders: Path, **orders_at_first: str) -> dict[str, Any]:
    """The same with the plug-in that misbehaves."""
    order(orders, **orders_at_first)
    return {**config, "policies": [{"type": "probe:Probe", "orders": str(orders)}]}


def order(orders: Path, **of_roles: str) -> None:
    beside = orders.with_suffix(".new")
    beside.write_text(json.dumps(of_roles))
    beside.replace(orders)


PROBING = {"PYTHONPATH": str(PLUG_INS)}


def repeats(seen: Seen) -> list[Any]:
    """A provider's answer: the last message's words, paced in a stream."""
    text = seen.json["messages"][-1]["content"]
    if not seen.json.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return list(whole({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}))
    words = text.replace(" ", "\x00 ").split("\x00")
    steps: list[Any] = []
    for event in events(*words):
        steps += [event, 0.05]
    return list(chunked(steps))


def write(gateway: Gateway, config: dict[str, Any] | str) -> None:
    """A new configuration file, there as a whole or not at all. The logs stay where they are."""
    if isinstance(config, dict):
        logs = {"access_log": str(gateway.folder / "access.log"), "log": str(gateway.folder / "app.log")}
        config = yaml.safe_dump({**config, "logging": {**logs, **config.get("logging", {})}}, sort_keys=False)
    beside = gateway.folder / "gateway.yaml.new"
    beside.write_text(config)
    os.replace(beside, gateway.folder / "gateway.yaml")


def hup(gateway: Gateway) -> None:
    gateway.process.send_signal(signal.SIGHUP)


def reloads(gateway: Gateway) -> tuple[int, int]:
    """Those that succeeded, and those that failed."""
    metrics = gateway.metrics()
    good, bad = (int(metrics.get(RELOADS.format(result), 0)) for result in ("success", "failure"))
    return good, bad


def reload(gateway: Gateway, config: dict[str, Any] | str, *, good: bool = True) -> None:
    """Write it, send SIGHUP, and wait for what came of it."""
    before = reloads(gateway)
    write(gateway, config)
    hup(gateway)
    eventually(lambda: reloads(gateway) != before, ceiling=60, what="the end of a reload")
    assert reloads(gateway) == (before[0] + good, before[1] + (not good)), gateway.log[-3:]


def health(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read(gateway.port, "/health"))
    return found


def generations(gateway: Gateway) -> set[int]:
    """What the ready workers have adopted."""
    return {worker["generation"] for worker in health(gateway)["workers"] if worker["state"] == "ready"}


def is_complete(gateway: Gateway, workers: int) -> bool:
    """So many workers are ready and no other is there."""
    states = [worker["state"] for worker in health(gateway)["workers"]]
    return states == ["ready"] * workers


def pids(gateway: Gateway) -> list[int]:
    return [worker["pid"] for worker in health(gateway)["workers"]]


def is_replaced(gateway: Gateway, pid: int, workers: int) -> bool:
    """It is gone, and so many others are ready. Without the first, a look may come before anybody has noticed."""
    return pid not in pids(gateway) and is_complete(gateway, workers)


def kill(gateway: Gateway, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """End a worker and wait for what takes its place."""
    workers = len(pids(gateway))
    os.kill(pid, number)
    eventually(lambda: is_replaced(gateway, pid, workers), ceiling=100, what=f"a replacement of {pid}")


def restarts(gateway: Gateway) -> dict[str, int]:
    """By reason."""
    name = "llm_gateway_worker_restarts_total{"
    found = {series: value for series, value in gateway.metrics().items() if series.startswith(name)}
    return {series.split('"')[1]: int(value) for series, value in found.items() if value}


def messages(gateway: Gateway) -> list[str]:
    return [line["message"] for line in gateway.log]


def said(gateway: Gateway, *parts: str) -> bool:
    """A line of the application log, or of what was printed, has all of these."""
    lines: Iterable[str] = [*(json.dumps(line) for line in gateway.log), *gateway.output.splitlines()]
    return any(all(part in line for part in parts) for line in lines)
