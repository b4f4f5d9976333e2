"""The benchmark's arithmetic, its reading of /proc, and that its own client and upstream are right."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import openai
import pytest

from benchmarks import (
    bodies,
    journal,
    machine,
    measures,
    mock_upstream,
    programs,
    questions,
    settings_files,
    table,
    wrk,
)
from benchmarks.client import Client, connect
from benchmarks.measures import Row, Settings, Spread
from benchmarks.programs import Missing, Way

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")


def test_a_spread_is_the_median_and_the_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0, (3.0, 1.0, 10.0))
    assert Spread.of([]) is None


@pytest.mark.parametrize(("part", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_nearest_rank(part: float, value: float) -> None:
    assert measures.percentile(list(range(100, 0, -1)), part) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        measures.percentile([], 0.5)


def test_costs_are_absent_when_nothing_was_used() -> None:
    assert measures.per_cpu_second(300, 1.5) == 200
    assert measures.per_cpu_second(300, 0) is None
    assert measures.micros_each(0.5, 50_000) == 10
    assert measures.micros_each(0.5, 0) is None


def test_a_ratio_needs_both_sides() -> None:
    two, one = Spread.of([2.0]), Spread.of([1.0])
    assert Row("", "", two, one).ratio == 0.5
    assert Row("", "", two, None).ratio is None
    assert Row("", "", None, one).ratio is None
    assert Row("", "", Spread.of([0.0]), one).ratio is None


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_environ({}) == Settings()
    short = Settings.from_environ({"BENCH_SECONDS": "0.5", "BENCH_ROUNDS": "1"})
    assert (short.seconds, short.rounds, short.settle_seconds) == (0.5, 1, 2.0)


def test_the_table_shows_ratio_range_and_absence() -> None:
    rows = [
        Row("speed", "req/s", Spread.of([50_000.0, 60_000.0]), Spread.of([22_000.0]), ">= 0.40"),
        Row("start", "s", None, Spread.of([0.123])),
    ]
    speed, start = table.render(rows, ["no wrk"]).splitlines()[3:5]
    assert speed.split() == ["speed", "req/s", "55,000", "(50,000..60,000)", "22,000", "0.400", ">=", "0.40"]
    assert start.split() == ["start", "s", "-", "0.12", "-"]
    assert table.render(rows, ["no wrk"]).endswith("note: no wrk")


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (0.1234, "0.12")])
def test_numbers_have_the_figures_that_mean_something(value: float, text: str) -> None:
    assert table.number(value) == text


def test_a_process_name_may_hold_blanks_and_brackets() -> None:
    assert machine.parse_stat("7 (a (b) c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1") == (3, 4330)


def test_pss_is_read_and_not_pss_dirty() -> None:
    assert machine.parse_pss("Rss:  9 kB\nPss:              1234 kB\nPss_Dirty:  99 kB\n") == 1234
    assert machine.parse_pss("") == 0


def test_descendants_are_found_at_any_depth() -> None:
    assert machine.descendants(1, {2: 1, 3: 2, 4: 3, 9: 8}) == {1, 2, 3, 4}


def test_this_process_has_cpu_time_and_memory() -> None:
    assert machine.cpu_seconds(1 << 30) == 0
    sum(math.sqrt(number) for number in range(2_000_000))
    own = os.getpid()
    assert machine.cpu_seconds(own) > 0
    assert (machine.pss_mib(own) or 1) > 0.5


@pytest.mark.parametrize(
    ("allowed", "proxy", "load", "apart"),
    [({0, 1}, "1", "0", True), ({2, 5, 7}, "7", "2,5", True), ({3}, "3", "3", False)],
)
def test_the_proxy_has_a_core_of_its_own(allowed: set[int], proxy: str, load: str, apart: bool) -> None:
    assert machine.cores(allowed) == machine.Cores(proxy, load, apart)


def test_wrk_with_failures_gives_no_number() -> None:
    good = {"requests": 10, "seconds": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "bad_status": 0, "broken": 0}
    assert wrk.parse(f"noise\nRESULT {json.dumps(good)}\n") == good
    for bad in ({"bad_status": 1}, {"broken": 2}, {"requests": 0}):
        with pytest.raises(Missing, match="no number"):
            wrk.parse(f"RESULT {json.dumps({**good, **bad})}")
    with pytest.raises(Missing, match="no result"):
        wrk.parse("unable to connect")


def test_a_way_that_fails_once_has_no_number_and_a_note() -> None:
    def ask(way: Way) -> dict[str, float]:
        if way.name == "gateway":
            raise Missing("it broke")
        return {"rate": 5.0}

    results = questions.Results()
    ways = [Way("nginx", 1, 1, 1), Way("gateway", 2, 2, 2)]
    assert questions.rounds(Settings(rounds=2), ways, results, ask) == {"rate": {"nginx": [5.0, 5.0]}}
    assert results.notes == ["gateway: it broke"]


def test_what_a_proxy_adds_is_counted_round_by_round() -> None:
    by_way = {"direct": [1.0, 5.0], "nginx": [1.5, 5.25], "gateway": [3.0]}
    assert questions.added(by_way) == {"nginx": [0.5, 0.25], "gateway": [2.0]}
    assert questions.added({"nginx": [1.0]}) == {"nginx": []}


def test_a_run_is_written_with_its_machine_and_every_round(tmp_path: Path) -> None:
    results = questions.Results(rows=[Row("q", "s", Spread.of([2.0, 4.0]), Spread.of([1.0]))])
    path = journal.write({"cpu": "x", "commit": "abc"}, Settings(), results, tmp_path)
    found = json.loads(path.read_text())
    assert path.name.endswith("Z-abc.json")
    assert found["machine"]["cpu"] == "x"
    assert found["rows"][0]["nginx"]["rounds"] == [2.0, 4.0]
    assert found["rows"][0]["ratio"] == pytest.approx(1 / 3)


def test_a_chat_request_has_600_bytes() -> None:
    assert len(bodies.chat("whole")) == len(bodies.stream(200, 20)) == bodies.BODY_BYTES


def test_the_sdk_head_is_the_official_sdks() -> None:
    """The names of the headers, as the installed openai package sends them."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                heads.append(client.recv(65536))
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1") as sdk:
            sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        thread.join(10)

    def names(request: bytes) -> set[str]:
        return {line.split(":")[0].lower() for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]}

    ours = names(bodies.request(1, b"{}", bodies.SDK_HEADERS))
    assert ours == names(heads[0])
    assert len(ours) == 17


class Wire:
    """A transport that only remembers."""

    def write(self, data: bytes) -> None:
        self.sent = data


def fed(answer: bytes, size: int) -> tuple[Client, list[Client]]:
    finished: list[Client] = []
    client = Client(finished.append)
    client.connection_made(cast(asyncio.Transport, Wire()))
    client.send(b"request", 0.0)
    for start in range(0, len(answer), size):
        client.data_received(answer[start : start + size])
    return client, finished


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
STREAM = mock_upstream.HEAD + mock_upstream.WORD * 3 + mock_upstream.LAST


@pytest.mark.parametrize(("answer", "events"), [(WHOLE, 0), (STREAM, 6)])
def test_the_client_reads_answers_however_they_are_cut(answer: bytes, events: int) -> None:
    for size in range(1, len(answer) + 1):
        client, finished = fed(answer, size)
        assert (len(finished), client.status, client.events, client.broken) == (1, 200, events, False), size
        assert client.ended_at >= client.first_at > 0


def test_a_torn_answer_is_broken_once() -> None:
    client, finished = fed(STREAM[:-1], 50)
    assert not finished
    client.connection_lost(None)
    assert (len(finished), client.broken) == (1, True)


def test_the_mock_upstream_streams_what_was_asked_for_twice_on_one_connection() -> None:
    async def ask() -> list[int]:
        server = await asyncio.get_running_loop().create_server(mock_upstream.MockUpstream, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        seen: list[int] = []
        done = asyncio.Event()

        def finished(client: Client) -> None:
            seen.append(client.events)
            done.set()

        (client,) = await connect(port, 1, finished)
        for events in (1, 5):
            done.clear()
            client.send(bodies.request(port, bodies.stream(events, 1), bodies.BARE_HEADERS), 0.0)
            await asyncio.wait_for(done.wait(), 10)
        client.close()
        server.close()
        await server.wait_closed()
        return seen

    assert asyncio.run(ask()) == [1 + mock_upstream.TRAILING, 5 + mock_upstream.TRAILING]


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx")
@pytest.mark.parametrize(
    "text",
    [
        lambda folder: settings_files.upstream(folder, 18080),
        lambda folder: settings_files.yardstick(folder, (18081, 18082), (18083, 18084)),
    ],
    ids=["upstream", "yardstick"],
)
def test_nginx_takes_its_configuration(tmp_path: Path, text: Callable[[Path], str]) -> None:
    (tmp_path / "nginx.conf").write_text(text(tmp_path).replace("listen 127.0.0.1:", "listen unix:"))
    command = [str(NGINX), "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "error.log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_gateway_takes_its_configuration(tmp_path: Path) -> None:
    from gateway import wiring

    path = tmp_path / "gateway.yaml"
    path.write_text(settings_files.gateway(tmp_path, 18083, 18084))
    assert set(wiring.load([path]).models) == {"whole", "stream"}


def test_a_program_that_dies_is_quoted(tmp_path: Path) -> None:
    stage = programs.Stage(tmp_path, machine.cores({0}), [])
    process = stage.spawn("broken", "0", ["sh", "-c", "echo no such setting; exit 1"])
    with pytest.raises(Missing, match=r"(?s)broken does not start.*no such setting"):
        stage.listening("broken", process, lambda: None)
    stage.close()


@pytest.mark.parametrize(("text", "port"), [("8080\n", 8080), ("127.0.0.1:99", 99), ("", None)])
def test_port_files(tmp_path: Path, text: str, port: int | None) -> None:
    (tmp_path / "port").write_text(text)
    assert programs.read_port(tmp_path / "port") == port
    assert programs.read_port(tmp_path / "absent") is None
