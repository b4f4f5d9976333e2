"""The openai package: embeddings, legacy completions, models."""

from __future__ import annotations

import pytest

from tests.clients.conftest import TEXT, Sdk
from tests.harness import FakeProvider, whole


def test_embeddings_are_the_same_in_both_formats(sdk: Sdk) -> None:
    create = sdk.client.embeddings.create
    packed = sdk.get(create(model="echo", input=TEXT))  # the SDK asks for base64 by itself
    plain = sdk.get(create(model="echo", input=TEXT, encoding_format="float"))
    assert len(packed.data[0].embedding) == 64
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert sum(value * value for value in plain.data[0].embedding) == pytest.approx(1)
    assert packed.usage.prompt_tokens == plain.usage.prompt_tokens == 7


def test_several_embeddings_and_their_size(sdk: Sdk) -> None:
    answer = sdk.get(sdk.client.embeddings.create(model="echo", input=["a", "b", "a"], dimensions=16))
    assert [each.index for each in answer.data] == [0, 1, 2]
    vectors = [each.embedding for each in answer.data]
    assert [len(vector) for vector in vectors] == [16] * 3
    assert vectors[0] == vectors[2] != vectors[1]
    tokens = sdk.get(sdk.client.embeddings.create(model="echo", input=[[1, 2, 3], [4]]))
    assert (len(tokens.data), tokens.usage.prompt_tokens) == (2, 4)


def test_a_provider_s_embeddings(sdk: Sdk, provider: FakeProvider) -> None:
    provider.answer(whole({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}]}))
    answer = sdk.get(sdk.client.embeddings.create(model="m", input=TEXT, encoding_format="float"))
    assert answer.data[0].embedding == [0.5, -1.0]
    assert provider.seen[-1].path == "/v1/embeddings"


def test_legacy_completions(sdk: Sdk) -> None:
    create = sdk.client.completions.create
    answer = sdk.get(create(model="echo", prompt=["one two", "three"], n=2))
    assert [choice.text for choice in answer.choices] == ["one two", "one two", "three", "three"]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 6)
    options = {"include_usage": True}
    chunks = sdk.all(sdk.get(create(model="echo", prompt=TEXT, stream=True, stream_options=options)))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 7


def test_models(sdk: Sdk) -> None:
    listed = sdk.all(sdk.get(sdk.client.models.list()))
    assert [model.id for model in listed] == ["m", "echo", "org/echo"]
    for name in ("echo", "org/echo"):
        model = sdk.get(sdk.client.models.retrieve(name))
        assert (model.id, model.object, model.owned_by) == (name, "model", "llm-gateway")
        assert model.created == listed[0].created > 1_700_000_000
