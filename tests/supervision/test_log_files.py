"""SIGUSR1 under load: every process writes to the new files, and no line is lost between the old and the new."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import descriptors
from tests.supervision.instance import QUICK, configuration, pids, reload

ROUNDS = 4
LOGS = ("access", "app")


def lines(files: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def chats(files: list[Path]) -> list[dict[str, Any]]:
    return [line for line in lines(files) if line["method"] == "POST"]


def test_no_line_is_lost_when_the_logs_are_rotated() -> None:
    with Gateway(configuration()) as gateway:
        everybody = [gateway.process.pid, *pids(gateway)]
        rotated: list[Path] = []
        with Load(("127.0.0.1", gateway.port), kept=6, fresh=2, pause=0.005, model=QUICK) as load:
            for number in range(ROUNDS):
                load.goes_on()
                renamed = [(gateway.folder / f"{log}.log").rename(gateway.folder / f"{log}.{number}") for log in LOGS]
                rotated.append(renamed[0])
                gateway.process.send_signal(signal.SIGUSR1)
                eventually(lambda: not open_files(everybody) & set(renamed), what="everybody has left the old files")  # noqa: B023
        answered = sum(load.answered.values())
        load.loses_nothing()
        files = [*rotated, gateway.folder / "access.log"]
        eventually(lambda: len(chats(files)) >= answered, what="every line")
        ids = [line["request_id"] for line in chats(files)]
        assert len(ids) == len(set(ids)) == answered
        assert all(file.stat().st_size for file in files), "a file without a line"
        assert sum(v for n, v in gateway.metrics().items() if "log_lines_dropped_total" in n) == 0


def open_files(everybody: list[int]) -> set[Path]:
    return {Path(what) for pid in everybody for what in descriptors(pid).values()}


def test_lines_that_the_supervisor_loses_are_counted_over_reloads() -> None:
    """Workers have nothing to say here. What is said between two configurations of the log is lost, or not."""
    full = configuration(logging={"log": "/dev/full"})

    def lost() -> float:
        return gateway.metrics()['llm_gateway_log_lines_dropped_total{log="application"}']

    with Gateway(full) as gateway:
        eventually(lambda: lost() == 1, what="listening")
        reload(gateway, full)
        eventually(lambda: lost() == 3, what="reloading, reloaded")
        reload(gateway, configuration())
        eventually(lambda: lost() == 4, what="reloading; reloaded is written")
        reload(gateway, full)
        eventually(lambda: lost() == 5, what="reloaded")


def test_a_reload_sends_the_logs_elsewhere() -> None:
    config = configuration()
    with Gateway(config) as gateway, Load(("127.0.0.1", gateway.port), kept=4, pause=0.005, model=QUICK) as load:
        elsewhere = gateway.folder / "elsewhere.log"
        reload(gateway, {**config, "logging": {"access_log": str(elsewhere)}})
        load.goes_on()
        load.stop()
        files = [gateway.folder / "access.log", elsewhere]
        answered = sum(load.answered.values())
        eventually(lambda: len(chats(files)) == answered, what="every line")
        assert elsewhere.stat().st_size
