"""A reload whose check goes wrong in every way is refused, and no worker notices. No secret shows anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import yaml

from tests.harness import Gateway, eventually
from tests.harness.gateway_process import ROOT
from tests.harness.load import Load
from tests.harness.processes import children, is_alive, title, users_of
from tests.harness.sampling import read
from tests.supervision.instance import (
    PROBING,
    QUICK,
    configuration,
    generations,
    hup,
    kill,
    order,
    pids,
    reload,
    reloads,
    restarts,
    said,
    with_probe,
    write,
)

CANARY = "sk-canary-4711-never-show-this"
FAULTS = {  # what the plug-in does in the checker, and what is said of it
    "exit": "ended without a result",
    "kill": "signal 9",
    "abort": "signal 6",
    "raise": "RuntimeError",
    "sys.exit": "SystemExit",
}
MOODY = """
from gateway.config import PolicyOptions

class MoodOptions(PolicyOptions):
    mood: {}

class Moody:
    Options = MoodOptions

    def __init__(self, options): pass
    def on_head(self, exchange): pass
"""
HARMLESS = ["threads", "print", "fork"]  # a plug-in may do so, and the check is none the worse


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, dict[str, Any], Path]]:
    orders = tmp_path_factory.mktemp("orders") / "orders.json"
    config = with_probe(configuration(), orders)
    with Gateway(config, environ=PROBING) as gateway:
        yield gateway, config, orders


Running = tuple[Gateway, dict[str, Any], Path]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_that_fails_is_a_refusal(running: Running, fault: str) -> None:
    gateway, config, orders = running
    order(orders, checker=fault)
    workers = pids(gateway)
    generation = generations(gateway)
    with Load(("127.0.0.1", gateway.port), kept=2, fresh=2, model=QUICK) as load:
        reload(gateway, config, good=False)
    load.loses_nothing()
    eventually(lambda: said(gateway, FAULTS[fault]), what=FAULTS[fault])
    assert pids(gateway) == workers
    assert generations(gateway) == generation
    assert restarts(gateway) == {}
    assert sorted(children(gateway.process.pid)) == sorted(workers)


@pytest.mark.parametrize("habit", HARMLESS)
def test_what_a_plug_in_may_do_in_the_check(running: Running, habit: str) -> None:
    gateway, config, orders = running
    order(orders, checker=habit)
    workers = pids(gateway)
    for _ in range(5):
        reload(gateway, config)
    everybody = {gateway.process.pid, *workers}
    eventually(lambda: users_of(gateway.folder) == everybody, what="what it started has ended with it")
    assert len(os.listdir(f"/proc/{gateway.process.pid}/task")) == 1


def test_a_check_that_hangs_stops_nothing_and_can_be_overtaken_by_the_end(running: Running) -> None:
    """Its ceiling is a minute; until then the old configuration serves, and a stop does not wait for it."""
    gateway, _, orders = running
    order(orders, checker="hang")
    before = reloads(gateway)
    workers = set(pids(gateway))
    hup(gateway)
    checker = eventually(lambda: set(children(gateway.process.pid)) - workers, what="the checker").pop()
    with Load(("127.0.0.1", gateway.port), kept=2, fresh=2, model=QUICK) as load:
        load.goes_on()
        hup(gateway)  # waits for the first
        load.goes_on()
    load.loses_nothing()
    assert reloads(gateway) == before
    order(orders)
    os.kill(checker, signal.SIGKILL)
    good, bad = before
    eventually(lambda: reloads(gateway) == (good + 1, bad + 1), ceiling=50, what="refused, and the second is good")
    assert not is_alive(checker)


def test_a_file_that_cannot_be_read_is_a_refusal(running: Running) -> None:
    gateway, config, orders = running
    order(orders)
    file = gateway.folder / "gateway.yaml"
    file.rename(gateway.folder / "away.yaml")
    file.mkdir()
    good, bad = reloads(gateway)
    hup(gateway)
    eventually(lambda: reloads(gateway) == (good, bad + 1))
    file.rmdir()
    hup(gateway)
    eventually(lambda: reloads(gateway) == (good, bad + 2))
    eventually(lambda: said(gateway, "gateway.yaml", "No such file") or said(gateway, "gateway.yaml", "cannot be read"))
    reload(gateway, config)


def test_a_plug_in_that_changes_on_disk_is_not_what_was_approved(tmp_path: Path) -> None:
    """The checker reads the new code; a worker that runs has the old, and one that starts later the newest. It is
    said, and whoever cannot adopt is replaced by one that can."""
    plug_in = tmp_path / "moody.py"
    plug_in.write_text(MOODY.format("int"))
    config = configuration()
    with Gateway(
        {**config, "policies": [{"type": "moody:Moody", "mood": 1}]}, environ={"PYTHONPATH": str(tmp_path)}
    ) as gateway:
        plug_in.write_text(MOODY.format("list[str]"))
        with Load(("127.0.0.1", gateway.port), kept=2, fresh=2, model=QUICK) as load:
            write(gateway, {**config, "policies": [{"type": "moody:Moody", "mood": ["sad"]}]})
            hup(gateway)
            eventually(lambda: reloads(gateway) == (1, 0), ceiling=100, what=f"adopted: {gateway.log[-5:]}")
            eventually(lambda: generations(gateway) == {2}, ceiling=100, what="adopted by all")
        load.loses_nothing()


def test_no_secret_shows_anywhere(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(CANARY)
    config = configuration()
    config["providers"]["far"] = {"type": "custom", "endpoint": "http://127.0.0.1:9/v1", "models": {"far": {}}}
    config["providers"]["far"] |= {"auth": {"type": "api_key", "key": f"${{file:{key}}}"}}
    config["logging"] = {"level": "debug"}
    with Gateway(config, environ={"CANARY": CANARY}) as gateway:
        reload(gateway, config)
        wrong = {**config, "providers": {**config["providers"], "far": {**config["providers"]["far"], "volume": 1}}}
        reload(gateway, wrong, good=False)
        gateway.chat(model="far")
        kill(gateway, pids(gateway)[0])
        shown = [gateway.output, *(str(line) for line in [*gateway.log, *gateway.access])]
        shown += [read(gateway.port, path) for path in ("/health", "/metrics", "/v1/models", "/openapi.json")]
        for pid in (gateway.process.pid, *children(gateway.process.pid)):
            shown.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode())
        assert not [text for text in shown if CANARY in text]


def test_at_the_start_too_the_supervisor_sleeps_until_there_is_something_to_do(tmp_path: Path) -> None:
    """The check may need the only processor there is."""
    orders, file = tmp_path / "orders.json", tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(with_probe(configuration(), orders, checker="hang")))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(file)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **PROBING}) as process:
        try:
            eventually(lambda: [title(child) for child in children(process.pid)] == ["llm-gateway: checker"])
            supervisor = psutil.Process(process.pid)
            before, began = supervisor.cpu_times(), time.monotonic()
            time.sleep(1.0)
            now, passed = supervisor.cpu_times(), time.monotonic() - began
            assert now.user + now.system - before.user - before.system < 0.2 * passed
        finally:
            process.terminate()
        assert process.wait(20) == 0
