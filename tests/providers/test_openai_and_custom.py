"""The providers behind HTTP: what they are configured with is what they send."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import ProviderOptions
from gateway.contracts import Task
from gateway.providers.custom import Custom, CustomOptions
from gateway.providers.openai import OpenAI
from tests.stand_ins import CHAT, call


def openai(**options: Any) -> OpenAI:
    return OpenAI("openai", ProviderOptions.model_validate({"type": "openai", **options}))


def custom(**options: Any) -> Custom:
    return Custom("own", CustomOptions.model_validate({"type": "custom", **options}))


KEY = {"type": "api_key", "key": "sk-1"}


def test_openai_is_where_it_is() -> None:
    sent = openai(auth=KEY).request(Task.CHAT, call(), "gpt")
    assert sent.head.url == "https://api.openai.com/v1/chat/completions"
    assert sent.head.headers["Authorization"] == "Bearer sk-1"
    assert sent.body == call({**CHAT, "model": "gpt"}).body


def test_openai_behind_a_proxy() -> None:
    sent = openai(endpoint="http://10.0.0.1/openai/", headers={"X-Team": "a"}).request(Task.EMBEDDING, call(), "m")
    assert sent.head.url == "http://10.0.0.1/openai/embeddings"
    assert sent.head.headers["X-Team"] == "a"
    assert "Authorization" not in sent.head.headers


def test_custom_has_an_address_and_headers_of_its_own() -> None:
    provider = custom(endpoint="http://vllm:8000/v1", auth={**KEY, "header": "X-Api-Key"})
    sent = provider.request(Task.COMPLETION, call(), "m")
    assert (provider.name, sent.head.url, sent.head.headers["X-Api-Key"]) == (
        "own",
        "http://vllm:8000/v1/completions",
        "sk-1",
    )


def test_custom_without_an_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        custom()


@pytest.mark.parametrize(
    "provider", [openai(auth=KEY), custom(endpoint="http://x", auth=KEY)], ids=["openai", "custom"]
)
def test_no_header_of_the_client_travels_and_no_key_shows(provider: Any) -> None:
    assert provider.tasks == frozenset(Task)
    assert "sk-1" not in repr(provider) + repr(vars(provider).get("name"))
