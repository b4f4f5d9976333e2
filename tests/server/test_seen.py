"""What operators see: access lines, counts with bounded labels, refusals under load, and logs that never block."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import yaml

from tests.harness import HANG, FakeProvider, Gateway, chunked, config_for, events, eventually, whole
from tests.server.raw import HELLO, Wire, request

USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
NUMBERS = {"duration_ms", "overhead_ms", "ttft_ms", "bytes_in", "bytes_out"}


def descriptors(gateway: Gateway) -> int:
    return len(os.listdir(f"/proc/{gateway.workers[0]}/fd"))


def test_whoever_reads_no_page_is_cut() -> None:
    with Gateway(config_for(streaming={"client_write": "500ms"})) as gateway:
        held = descriptors(gateway)
        with Wire(gateway.port) as wire:
            wire.socket.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):  # the fast lane cuts whoever sends too far ahead
                while True:
                    wire.socket.send(request(method="GET", path="/openapi.json") * 100)
            eventually(lambda: [line for line in gateway.access if line.get("ended_by") == "client"])
            eventually(lambda: descriptors(gateway) <= held)
        assert not [line for line in gateway.log if line["level"] == "error"]


def test_a_head_without_a_body_has_no_bytes() -> None:
    with Gateway(config_for()) as gateway, Wire(gateway.port) as wire:
        answer = wire.ask(request(method="HEAD", path="/health"), method="HEAD")
        assert gateway.access_of(answer.headers["x-request-id"])["bytes_out"] == 0


def test_an_access_line_tells_the_story() -> None:
    body = HELLO.replace(b"echo", b"m")
    streamed = body[:-1] + b',"stream":true}'
    headers = {"X-Correlation-Id": "order-7", "User-Agent": "test/1", "Authorization": "Bearer client-canary"}
    with FakeProvider() as provider, Gateway(config_for(provider.url)) as gateway, Wire(gateway.port) as wire:
        provider.answer(whole({"choices": [], "usage": USAGE}))
        answer = wire.ask(request(body, path="/v1/chat/completions?api-key=query-canary", headers=headers))
        line = gateway.access_of(answer.headers["x-request-id"])
        assert NUMBERS - {"ttft_ms"} <= set(line)
        assert line["bytes_in"] == len(body)
        assert line["bytes_out"] == len(answer.body)
        assert 0 < line["overhead_ms"] < line["duration_ms"]
        assert line.pop("attempts")[0].pop("ms") > 0
        assert line.pop("ts").endswith("Z")
        assert {name: value for name, value in line.items() if name not in NUMBERS} == {
            "request_id": answer.headers["x-request-id"],
            "correlation_id": "order-7",
            "client": "127.0.0.1",
            "method": "POST",
            "path": "/v1/chat/completions",
            "status": 200,
            "model": "m",
            "provider": "p0",
            "upstream_model": "m",
            "stream": False,
            "input_tokens": 11,
            "output_tokens": 4,
            "cached_tokens": 0,
            "user_agent": "test/1",
        }
        provider.answer(chunked(events("a", "b", usage=USAGE)))
        answer = wire.ask(request(streamed, headers={"X-Request-Id": "streamed", "X-Correlation-Id": "a b"}))
        line = gateway.access_of("streamed")
        assert 0 < line["ttft_ms"] <= line["duration_ms"]
        assert (line["stream"], line["output_tokens"], line["bytes_out"]) == (True, 4, len(answer.body))
        assert "correlation_id" not in line  # it was not sane
        wire.ask(request(b"{", headers={"X-Request-Id": "refused"}))
        line = gateway.access_of("refused")
        assert (line["status"], line["error_code"]) == (400, "validation_error")
        assert "client-canary" not in str(gateway.access + gateway.log)
        assert "query-canary" not in str(gateway.access + gateway.log)


def test_every_request_has_its_line() -> None:
    asked = [("GET", "/health", 200), ("GET", "/metrics", 200), ("POST", "/health", 405), ("PUT", "/nope", 404)]
    with Gateway(config_for()) as gateway, Wire(gateway.port) as wire:
        for number, (method, path, status) in enumerate(asked):
            answer = wire.ask(request(method=method, path=path, headers={"X-Request-Id": f"page-{number}"}))
            line = gateway.access_of(f"page-{number}")
            assert (line["method"], line["path"], line["status"]) == (method, path, status)
            assert line["bytes_out"] == len(answer.body)
            assert line["duration_ms"] > 0
            assert line.get("error_code") == (answer.error["code"] if status != 200 else None)


def test_unknown_models_are_one_label() -> None:
    with Gateway(config_for()) as gateway, Wire(gateway.port) as wire:
        for number in range(50):
            assert wire.ask(request(HELLO.replace(b"echo", b"guess-%d" % number))).status == 404
        assert wire.ask(request(b"{")).status == 400
        text = wire.ask(request(method="GET", path="/metrics")).body.decode()
        assert "guess" not in text
        metrics = gateway.metrics()
        counted = {name: value for name, value in metrics.items() if name.startswith("llm_gateway_requests_total")}
        assert counted == {
            'llm_gateway_requests_total{provider="none",model="other",status="404"}': 50,
            'llm_gateway_requests_total{provider="none",model="other",status="400"}': 1,
        }


def test_one_too_many_is_503_until_there_is_room() -> None:
    body = HELLO.replace(b"echo", b"m")
    with FakeProvider() as provider:
        provider.answer([HANG])
        config = config_for(provider.url, server={"max_in_flight": 2})
        with Gateway(config) as gateway, Wire(gateway.port) as third:
            with Wire(gateway.port) as first, Wire(gateway.port) as second:
                first.send(request(body))
                second.send(request(body))
                eventually(lambda: len(provider.seen) == 2)
                answer = third.ask(request(body))
                assert (answer.status, answer.error["code"]) == (503, "overloaded")
                assert answer.headers["retry-after"] == "1"
                assert answer.headers["x-should-retry"] == "true"
                assert third.ask(request(method="GET", path="/health")).status == 200
                assert len(provider.seen) == 2
                provider.answer(whole({"choices": []}))
            eventually(lambda: third.ask(request(body)).status == 200)
            assert gateway.metrics()["llm_gateway_active_requests"] == 0


def unread(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


def test_a_full_pipe_blocks_nobody(tmp_path: Path) -> None:
    config = config_for(logging={"log": "stderr", "access_log": "stderr", "level": "debug"})
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    port = tmp_path / "port"
    command = [sys.executable, "-m", "gateway", "run", "--config", str(tmp_path / "gateway.yaml")]
    process = subprocess.Popen(
        [*command, "--port-file", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stderr is not None
    pipe = process.stderr.fileno()
    try:
        eventually(lambda: port.exists() and port.read_text().strip(), ceiling=30)
        room = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        with Wire(int(port.read_text())) as wire:
            answers = [wire.ask(request(HELLO, headers={"User-Agent": "x" * 200})).status for _ in range(300)]
        assert answers == [200] * 300
        assert 2 * room < 300 * 200  # far more was said than the pipe can hold, and nobody has read
        assert 0 < unread(pipe) <= room
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()
