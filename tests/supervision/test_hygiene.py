"""What the processes are like: nothing of another's inherited, nothing running that should not, nobody the same."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.harness import Gateway, eventually
from tests.harness.processes import children, descriptors, threads, title
from tests.supervision.instance import PROBING, configuration, kill, pids, reload, with_probe


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    orders = tmp_path_factory.mktemp("orders") / "orders.json"
    config = with_probe(configuration(), orders)
    with Gateway(config, environ=PROBING) as running:
        reload(running, config)
        kill(running, pids(running)[0])  # so that one of them is a replacement
        yield running


def asked(gateway: Gateway) -> dict[str, Any]:
    """What one worker says of itself."""
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", headers={"x-probe": "facts"}, content=b"{}", timeout=20)
    found: dict[str, Any] = json.loads(answer.json()["error"]["message"])
    return found


def facts(gateway: Gateway) -> dict[int, dict[str, Any]]:
    """What each worker says of itself, by its number."""
    found: dict[int, dict[str, Any]] = {}

    def everybody() -> bool:
        said = asked(gateway)
        found.setdefault(said["pid"], said)
        return set(pids(gateway)) == set(found)

    eventually(everybody, what="a word from each worker")
    return found


def test_sockets_are_shared_with_nobody_who_has_no_use_for_them(gateway: Gateway) -> None:
    """A channel has two ends, one worker's and the supervisor's. A copy elsewhere would hide that one has ended."""
    held = {pid: sockets(pid) for pid in (gateway.process.pid, *pids(gateway))}
    unix = unix_sockets(gateway.process.pid)
    first, second = (held[pid] for pid in pids(gateway))
    assert first & second & unix == set()
    assert (first | second) & held[gateway.process.pid] & unix == set()


def sockets(pid: int) -> set[str]:
    return {what for what in descriptors(pid).values() if what.startswith("socket:")}


def unix_sockets(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]
    return {f"socket:[{line.split()[6]}]" for line in lines}


def test_no_descriptor_leaks_over_reloads_and_replacements(gateway: Gateway) -> None:
    def kinds() -> list[list[str]]:
        counted = (gateway.process.pid, *pids(gateway))
        return [sorted(what.partition(":")[0] for what in descriptors(pid).values()) for pid in counted]

    config_file = (gateway.folder / "gateway.yaml").read_text()
    before = kinds()
    for _ in range(3):
        reload(gateway, config_file)
    eventually(lambda: kinds() == before, what=f"{before}")
    for _ in range(2):
        kill(gateway, pids(gateway)[0])
    eventually(lambda: kinds()[0] == before[0], what=f"{before[0]}")


def test_the_supervisor_has_one_thread_and_the_children_it_should(gateway: Gateway) -> None:
    assert threads(gateway.process.pid) == [gateway.process.pid]
    assert sorted(children(gateway.process.pid)) == sorted(pids(gateway))


def test_what_ps_calls_them(gateway: Gateway) -> None:
    assert title(gateway.process.pid) == "llm-gateway: supervisor"
    assert sorted(map(title, pids(gateway))) == ["llm-gateway: worker 1", "llm-gateway: worker 2"]


def test_the_supervisor_has_imported_nothing_that_could_start_a_thread(gateway: Gateway) -> None:
    """What it has mapped shows it: neither the event loop's library nor the plug-in's world."""
    maps = Path(f"/proc/{gateway.process.pid}/maps").read_text()
    assert "/uvloop/" not in maps or threads(gateway.process.pid) == [gateway.process.pid]


def test_signals_in_the_workers_are_their_own(gateway: Gateway) -> None:
    """None is blocked, and those of a terminal are ignored: the supervisor hears them."""
    for pid in pids(gateway):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert int(status["SigBlk"], 16) == 0
        ignored = int(status["SigIgn"], 16)
        assert all(ignored >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT))


def test_death_of_the_parent_and_different_draws(gateway: Gateway) -> None:
    said = facts(gateway)
    assert {each["death_signal"] for each in said.values()} == {signal.SIGTERM}
    assert {each["parent"] for each in said.values()} == {gateway.process.pid}
    draws = [draw for each in said.values() for draw in each["draws"]]
    assert len(set(draws)) == len(draws)


def test_request_ids_are_unique_over_all_workers(gateway: Gateway) -> None:
    said = [asked(gateway) for _ in range(24)]
    assert len({each["pid"] for each in said}) == 2
    ids = [each for some in said for each in some["ids"]]
    assert len(ids) >= 10_000
    assert len(set(ids)) == len(ids)
