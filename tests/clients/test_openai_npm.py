"""The openai package from npm: one node process asks everything, each test judges one answer.

`make test` installs the package; without it, or without node, these tests are skipped and say so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import HANG, RESET, FakeProvider, Gateway, Seen, chunked, config_for, events, whole

NODE = Path(__file__).parents[1] / "node"
TEXT = "the quick brown fox, jumps!"
CEILING = 120  # seconds; it takes about one


def scripted(seen: Seen) -> list[Any]:
    """What the provider does depends on the model it is asked for."""
    scripts: dict[str, list[Any]] = {
        "m": chunked([*events("a", finish=None, done=False), RESET], end=False),
        "limited": whole({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "9"}),
        "slow": [HANG],
    }
    return scripts[seen.json["model"]]


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        running.answer(scripted)
        yield running


@pytest.fixture(scope="module")
def answers(provider: FakeProvider) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    if not (NODE / "node_modules" / "openai").is_dir():
        pytest.skip("the openai package is not installed; make test installs it (npm ci in tests/node)")
    echo = {"type": "echo", "models": {"echo": {}, "org/echo": {}}}
    fake: dict[str, Any] = {"models": {"m": {}, "limited": {}, "slow": {}}}
    with Gateway(config_for(provider.url, providers={"echo": echo, "p0": fake})) as gateway:
        done = subprocess.run(
            [node, str(NODE / "chat.mjs"), f"{gateway.url}/v1", "echo"], capture_output=True, text=True, timeout=CEILING
        )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_chat(answers: dict[str, Any]) -> None:
    said = answers["whole"]
    assert said["choices"][0]["message"]["content"] == TEXT
    assert said["usage"]["total_tokens"] == 14
    assert answers["raw"] == {"content": TEXT, "provider": "echo"}


def test_a_stream(answers: dict[str, Any]) -> None:
    *chunks, last = answers["streamed"]
    deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert len(deltas) > 7
    assert "".join(deltas) == TEXT
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 7)


def test_streamed_tools(answers: dict[str, Any]) -> None:
    calls = [call for chunk in answers["tools"] for call in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert calls[0]["function"]["name"] == "get_weather"
    assert json.loads("".join(call["function"].get("arguments", "") for call in calls)) == {"city": TEXT, "days": 7}
    final = answers["helper"]["choices"][0]
    assert final["finish_reason"] == "tool_calls"
    assert json.loads(final["message"]["tool_calls"][0]["function"]["arguments"])["days"] == 7


def test_embeddings_and_models(answers: dict[str, Any]) -> None:
    assert sum(value * value for value in answers["embedding"]) == pytest.approx(1, abs=1e-5)
    assert len(answers["embedding"]) == 8
    assert set(answers["models"]) == {"echo", "org/echo", "m", "limited", "slow"}
    assert answers["slash"] == "org/echo"


@pytest.mark.parametrize(
    ("question", "name", "status", "code"),
    [
        ("hot", "BadRequestError", 400, "validation_error"),
        ("unknown", "NotFoundError", 404, "model_not_found"),
        ("limited", "RateLimitError", 429, "rate_limit_exceeded"),
    ],
)
def test_errors_are_its_own(answers: dict[str, Any], question: str, name: str, status: int, code: str) -> None:
    said = answers[question]
    assert (said["name"], said["status"], said["code"], said["hasId"]) == (name, status, code, True)


def test_a_stream_that_breaks_is_an_error(answers: dict[str, Any]) -> None:
    assert (answers["broken"]["name"], answers["broken"]["code"]) == ("APIError", "stream_interrupted")


def test_a_timeout_stops_the_upstream(answers: dict[str, Any], provider: FakeProvider) -> None:
    assert answers["impatient"]["name"] == "APIConnectionTimeoutError"
    slow = next(seen for seen in provider.seen if seen.json["model"] == "slow")
    assert slow.left.wait(20)
