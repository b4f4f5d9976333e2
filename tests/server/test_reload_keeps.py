"""What a reload of the running gateway keeps, and what it changes at once: connections, keys, logs, extensions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.harness import FakeProvider, Gateway, chunked, config_for, events, eventually, whole

ANSWER = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant"}}]}


def with_key(url: str, file: Path, **options: Any) -> dict[str, Any]:
    auth = {"type": "api_key", "key": f"${{file:{file}}}"}
    return config_for(url, providers={"p0": {"auth": auth, **options}})


def test_connections_outlive_what_does_not_concern_them(tmp_path: Path) -> None:
    """One that leads elsewhere is closed, once nobody uses it."""
    key = tmp_path / "key"
    key.write_text("sk-first-key\n")
    with FakeProvider() as provider, Gateway(with_key(provider.url, key)) as gateway:
        provider.answer(whole(ANSWER))
        assert gateway.chat().status_code == 200
        gateway.reload()
        assert gateway.chat().status_code == 200
        key.write_text("sk-second-key\n")
        gateway.reload(with_key(provider.url, key, timeouts={"connect": "1s"}))
        assert gateway.chat().status_code == 200
        assert provider.connections == 1
        assert [seen.headers["authorization"] for seen in provider.seen] == [
            *["Bearer sk-first-key"] * 2,
            "Bearer sk-second-key",
        ]
        gateway.reload(with_key(provider.url, key, connection_pool={"keep_alive": "1h"}))
        eventually(lambda: provider.open == 0, what="the old connection is closed")
        assert gateway.chat().status_code == 200
        assert provider.connections == 2
        assert "sk-" not in json.dumps(gateway.log) + gateway.output


def test_a_stream_ends_as_it_began_and_its_connection_goes_with_it(tmp_path: Path) -> None:
    paced = [step for event in events(*"abcdefgh", finish="stop") for step in (event, 0.2)]
    with FakeProvider() as provider, FakeProvider() as other, Gateway(config_for(provider.url)) as gateway:
        provider.answer(chunked(paced))
        other.answer(whole(ANSWER))
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=30) as stream:
            lines = stream.iter_lines()
            assert "a" in next(lines)
            gateway.reload(config_for(other.url))
            assert gateway.chat().status_code == 200
            assert (len(provider.seen), len(other.seen), provider.open) == (1, 1, 1)
            rest = "\n".join(lines)
        assert rest.rstrip().endswith("data: [DONE]")
        assert not provider.seen[0].left.is_set()
        eventually(lambda: provider.open == 0, what="the old connection is closed")


def test_logs_go_elsewhere_at_once(tmp_path: Path) -> None:
    with FakeProvider() as provider, Gateway(config_for(provider.url)) as gateway:
        provider.answer(whole(ANSWER))
        elsewhere = {"log": str(tmp_path / "app"), "access_log": str(tmp_path / "access"), "level": "warning"}
        gateway.reload(config_for(provider.url, logging=elsewhere))
        request_id = gateway.chat().headers["x-request-id"]
        eventually(lambda: request_id in (tmp_path / "access").read_text(), what="the access line")
        gateway.reload(config_for(provider.url, logging={**elsewhere, "access_log": "off", "level": "info"}))
        eventually(lambda: "reloaded" in (tmp_path / "app").read_text(), what="the level is another one")


def test_a_log_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    with Gateway(config_for()) as gateway:
        gateway.reload(config_for(logging={"log": str(tmp_path / "nowhere" / "app")}), result="failure")
        said = [line["message"] for line in gateway.log if line["level"] == "error"]
        assert f"logging.log: cannot write {tmp_path}/nowhere/app: its folder does not exist" in said[0]
        assert said[1] == "the configuration is refused; nothing has changed"
        assert httpx.get(f"{gateway.url}/health", timeout=10).json()["generation"] == 1


PLUG_IN = """
import os
from gateway.config import PolicyOptions

class Door:
    class Options(PolicyOptions):
        word: str
    def __init__(self, options):
        self.word, self.asked = options.word, 0
    def count_with(self, meters):
        self._asked = meters.counter("acme_asked_total", "Asked, by word.", ("word",)).cell(self.word)
    def admit(self, exchange):
        self.asked += 1
        self._asked.add()
    def close(self):
        with open(os.environ["ACME"], "a") as file:
            file.write(f"{self.word} {self.asked}\\n")
"""


def test_an_extension_goes_on_counts_on_and_is_closed_once(tmp_path: Path) -> None:
    (tmp_path / "acme_door.py").write_text(PLUG_IN)
    closed = tmp_path / "closed"
    closed.touch()

    def config(word: str, **more: Any) -> dict[str, Any]:
        return config_for(provider.url, policies=[{"type": "acme_door:Door", "word": word}], **more)

    with FakeProvider() as provider:
        provider.answer(whole(ANSWER))
        environ = {"PYTHONPATH": str(tmp_path), "ACME": str(closed)}
        with Gateway(config("one"), environ=environ) as gateway:
            gateway.chat()
            gateway.reload(config("one", streaming={"keepalive_after": "1s"}))
            gateway.chat()
            assert closed.read_text() == ""
            gateway.reload(config("two"))
            eventually(closed.read_text, what="the first door is closed")
            gateway.chat()
            counted = gateway.metrics()
            assert counted['acme_asked_total{word="one"}'] == 2
            assert counted['acme_asked_total{word="two"}'] == 1
            assert gateway.stop() == 0
    assert closed.read_text() == "one 2\ntwo 1\n"
