"""What an OpenAI-compatible provider is sent."""

from __future__ import annotations

import json

import pytest

from gateway import __version__
from gateway.contracts import Task
from gateway.dialects.openai_passthrough import Passthrough
from tests.stand_ins import CHAT, call


@pytest.mark.parametrize(
    ("task", "url"),
    [
        (Task.CHAT, "https://up/v1/chat/completions"),
        (Task.COMPLETION, "https://up/v1/completions"),
        (Task.EMBEDDING, "https://up/v1/embeddings"),
    ],
)
def test_each_task_has_its_address(task: Task, url: str) -> None:
    sent = Passthrough("https://up/v1", {"Authorization": "Bearer k"}).request(task, call(), "m")
    assert (sent.head.method, sent.head.url) == ("POST", url)
    assert dict(sent.head.headers) == {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"llm-gateway/{__version__}",
        "accept": "application/json",
        "Authorization": "Bearer k",
    }


def test_a_stream_is_asked_for_with_its_usage() -> None:
    sent = Passthrough("https://up", {}).request(Task.CHAT, call({**CHAT, "stream": True}), "theirs")
    assert sent.head.headers["accept"] == "text/event-stream"
    assert json.loads(sent.body) == {
        **CHAT,
        "model": "theirs",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_what_needs_no_change_is_sent_as_it_came() -> None:
    asked = call(b'{ "model" :"m", "n" : 1.0 }')
    assert Passthrough("https://up", {}).request(Task.CHAT, asked, "m").body is asked.body
