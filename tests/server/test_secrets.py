"""Secrets stay secret: after every kind of failure the provider's key stands nowhere but in the requests sent to it."""

from __future__ import annotations

import socket
import subprocess
import sys

from tests.harness import CLOSE, HANG, RESET, FakeProvider, Gateway, chunked, config_for, events, whole
from tests.server.raw import HELLO, Answer, Wire, request

KEY = "sk-canary-5f3a9c71d2"
BODY = HELLO.replace(b"echo", b"m")
STREAM = BODY[:-1] + b',"stream":true}'
QUOTED = {"message": f"Incorrect API key provided: {KEY}", "type": "authentication_error", "code": "invalid_api_key"}
IN_BAND = b'data: {"error": {"message": "bad key %b", "type": "authentication_error"}}\n\n' % KEY.encode()
CHAOS: list[list[bytes | float | str]] = [
    whole({"error": QUOTED}, status=401),
    whole({"error": QUOTED}, status=403),
    whole({"error": QUOTED}, status=400),
    whole({"error": QUOTED}),
    whole({"error": {"message": "overloaded", "type": "server_error"}}, status=500),
    *(
        whole({"error": {**QUOTED, "type": KEY, "code": KEY, "param": KEY}}, status=status)
        for status in (400, 429, 500, 503)
    ),
    whole(b"<html>bad gateway</html>", status=502, headers={"content-type": "text/html"}),
    whole(b"not json"),
    [RESET],
    [CLOSE],
    [b"garbage\r\n\r\n"],
    [b"HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n"],
    [b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n"],
    chunked([IN_BAND]),
    chunked(events("a", finish=None, done=False)),
    chunked([*events("a", finish=None, done=False), RESET], end=False),
    chunked([b"data: {broken\n\n", b"data: [DONE]\n\n"]),
    [HANG],
]


def test_the_key_is_nowhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    auth = {"type": "api_key", "key": "${env:CANARY}"}
    impatient = {"auth": auth, "timeouts": {"first_content": "300ms", "total": "600ms"}}
    with FakeProvider() as provider:
        providers = {"p0": impatient, "p1": {"auth": auth}}
        config = config_for(provider.url, nobody, providers=providers, logging={"level": "debug"})
        with Gateway(config, environ={"CANARY": KEY}) as gateway:
            shown = [f"{answer.status} {answer.headers} {answer.body!r}" for answer in all_answers(gateway, provider)]
            shown += [page(gateway, path) for path in ("/metrics", "/health", "/openapi.json", "/v1/models")]
            file = str(gateway.folder / "gateway.yaml")
            for command in (["check", file], ["explain", file]):
                shown.append(said(command, KEY))
            gateway.stop()
            shown += [gateway.output, str(gateway.log), str(gateway.access)]
        assert len(gateway_saw(provider)) >= 2 * len(CHAOS)
        assert all(seen == f"Bearer {KEY}" for seen in gateway_saw(provider))
    assert not [text for text in shown if "canary" in text]


def all_answers(gateway: Gateway, provider: FakeProvider) -> list[Answer]:
    """What clients get, whole and streamed, for each failure; each is sent to both targets in turn."""
    answers = []
    for steps in CHAOS:
        provider.answer(steps)
        for body in (BODY, STREAM):
            for _ in range(2):
                with Wire(gateway.port) as wire:
                    answers.append(wire.ask(request(body)))
    return answers


def gateway_saw(provider: FakeProvider) -> list[str]:
    return [seen.headers["authorization"] for seen in provider.seen]


def page(gateway: Gateway, path: str) -> str:
    with Wire(gateway.port) as wire:
        return str(wire.ask(request(method="GET", path=path)))


def said(command: list[str], key: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env={"CANARY": key, "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
