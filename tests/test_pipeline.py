"""The path of a request through a real process: whole and streamed answers, failover, errors, accounting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.harness import CLOSE, RESET, FakeProvider, Gateway, chunked, config_for, events, whole

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "fake",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[FakeProvider, FakeProvider]]:
    with FakeProvider() as first, FakeProvider() as second:
        yield first, second


@pytest.fixture(scope="module")
def gateway(providers: tuple[FakeProvider, FakeProvider]) -> Iterator[Gateway]:
    with Gateway(config_for(providers[0].url, providers[1].url)) as running:
        yield running


def test_a_whole_answer_is_forwarded_byte_for_byte(
    gateway: Gateway, providers: tuple[FakeProvider, FakeProvider]
) -> None:
    raw = b'{ "choices" : [ ],\n "usage":{"prompt_tokens":5,"completion_tokens":2}, "odd": 1.50 }'
    for provider in providers:
        provider.answer(whole(raw))
    answer = gateway.chat()
    assert answer.status_code == 200
    assert answer.content == raw
    line = gateway.access_of(answer.headers["x-request-id"])
    assert (line["input_tokens"], line["output_tokens"], line["status"]) == (5, 2, 200)


def test_a_dead_target_costs_the_client_nothing(gateway: Gateway, providers: tuple[FakeProvider, FakeProvider]) -> None:
    providers[0].answer([RESET])
    providers[1].answer(whole(ANSWER))
    answers = [gateway.chat() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers["x-gateway-attempts"] for answer in answers} == {"1", "2"}


def test_when_all_fail_the_last_error_is_told(gateway: Gateway, providers: tuple[FakeProvider, FakeProvider]) -> None:
    providers[0].answer([CLOSE])
    providers[1].answer([CLOSE])
    answer = gateway.chat()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "provider_connection_lost"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
def test_a_clients_mistake_is_not_tried_elsewhere(
    gateway: Gateway, providers: tuple[FakeProvider, FakeProvider], stream: bool
) -> None:
    error = {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    }
    for provider in providers:
        provider.answer(whole(error, status=400))
    before = sum(len(provider.seen) for provider in providers)
    answer = gateway.chat(stream=stream)
    assert answer.status_code == 400
    assert answer.json() == error
    assert sum(len(provider.seen) for provider in providers) == before + 1


def test_a_stream_arrives_as_it_was_sent(gateway: Gateway, providers: tuple[FakeProvider, FakeProvider]) -> None:
    said = events("Hel", "lo")
    for provider in providers:
        provider.answer(chunked(said))
    answer = gateway.chat(stream=True)
    assert answer.status_code == 200
    assert answer.content == b"".join(said)


def test_usage_is_asked_for_counted_and_not_shown(
    gateway: Gateway, providers: tuple[FakeProvider, FakeProvider]
) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    for provider in providers:
        provider.answer(chunked(events("x", usage=usage)))
    answer = gateway.chat(stream=True)
    assert answer.content == b"".join(events("x"))
    asked = next(
        seen for provider in reversed(providers) for seen in reversed(provider.seen) if b"include_usage" in seen.body
    )
    assert asked.json["stream_options"] == {"include_usage": True}
    line = gateway.access_of(answer.headers["x-request-id"])
    assert (line["input_tokens"], line["output_tokens"]) == (11, 4)


STRATEGIES = """
class AlwaysTheFirst:
    def choose(self, targets, exchange):
        return targets[0]

class Number:
    def choose(self, targets, exchange):
        return 5
"""


@pytest.mark.parametrize(("strategy", "status", "attempts"), [("AlwaysTheFirst", 503, "1"), ("Number", 500, None)])
def test_a_strategy_that_repeats_itself_or_chooses_nonsense_ends_the_request(
    strategy: str, status: int, attempts: str | None, tmp_path: Path
) -> None:
    (tmp_path / "acme_choice.py").write_text(STRATEGIES)
    config = config_for(
        providers={"echo": {"type": "echo", "error_rate": 1, "models": {"m": {}}}},
        routing={"default_strategy": f"acme_choice:{strategy}"},
    )
    with Gateway(config, environ={"PYTHONPATH": str(tmp_path)}) as gateway:
        answer = gateway.chat()
        assert (answer.status_code, answer.headers.get("x-gateway-attempts")) == (status, attempts)
        assert gateway.access_of(answer.headers["x-request-id"])["status"] == status


def test_an_unknown_model_is_404(gateway: Gateway) -> None:
    answer = gateway.chat(model="nope")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert httpx.get(f"{gateway.url}/v1/models").json()["data"][0]["id"] == "m"


POLICY = """
class LostItsStore:
    def __init__(self, options): ...
    def on_head(self, exchange): self.ask("head", exchange)
    def admit(self, exchange): self.ask("admit", exchange)
    def on_attempt(self, exchange, target): self.ask("attempt", exchange)
    def ask(self, phase, exchange):
        if exchange.headers.get("x-phase") == phase:
            raise ConnectionRefusedError("the store is down")
"""


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_that_a_policy_loses_is_not_the_clients(tmp_path: Path, stream: bool) -> None:
    (tmp_path / "acme_store.py").write_text(POLICY)
    config = config_for(policies=[{"type": "acme_store:LostItsStore"}])
    with Gateway(config, environ={"PYTHONPATH": str(tmp_path)}) as gateway:
        body = {"model": "echo", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        for phase in ("head", "admit", "attempt"):
            answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers={"x-phase": phase})
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error"), phase
            line = gateway.access_of(answer.headers["x-request-id"])
            assert (line["status"], line.get("ended_by")) == (500, None)
