"""Reading a request, and writing it again with nothing changed but what must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.json_body import read_call, rewritten
from gateway.errors import VALIDATION, GatewayError

SPACE = st.text(" \t\n\r", max_size=2)
NUMBERS = st.sampled_from(["0", "-0", "1.50", "1e2", "18446744073709551615", "123456789012345678901234567890", "-0.0"])
NAMES = st.text(max_size=6).filter(lambda name: name not in ("model", "stream_options", "include_usage"))


def spelt(text: str, escape: bool) -> str:
    """A JSON string, each way it may be written."""
    if not escape:
        return json.dumps(text, ensure_ascii=False)
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)) + '"'


STRINGS = st.builds(spelt, st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.booleans())
LEAVES = STRINGS | NUMBERS | st.sampled_from(["true", "false", "null", "[]", "{}", '"{\\"model\\":1}"'])


@st.composite
def objects(draw: Any, members: st.SearchStrategy[list[tuple[str, str]]]) -> str:
    """JSON text of an object, with white space anywhere it may stand."""
    pairs = [
        f"{draw(SPACE)}{spelt(name, draw(st.booleans()))}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}"
        for name, value in draw(members)
    ]
    return "{" + (",".join(pairs) or draw(SPACE)) + "}"


def members(value: st.SearchStrategy[str], most: int = 3) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(NAMES, value), max_size=most, unique_by=lambda pair: pair[0])


VALUES = st.recursive(
    LEAVES,
    lambda inner: objects(members(inner)) | st.lists(inner, max_size=3).map(lambda all_: f"[{', '.join(all_)}]"),
    max_leaves=6,
)


@st.composite
def requests(draw: Any) -> bytes:
    """A request with a model, perhaps stream options of every kind, and anything else."""
    pairs = draw(members(VALUES, 4))
    pairs.append(("model", draw(STRINGS.filter(lambda text: text != '""'))))
    options = draw(st.sampled_from(["absent", "null", "empty", "asked", "not asked"]))
    if options == "null":
        pairs.append(("stream_options", "null"))
    elif options != "absent":
        inner = draw(members(VALUES)) if options != "empty" else []
        if options in ("asked", "not asked"):
            inner.append(("include_usage", "true" if options == "asked" else "false"))
        pairs.append(("stream_options", draw(objects(st.permutations(inner).map(list)))))
    text: str = draw(SPACE) + draw(objects(st.permutations(pairs).map(list))) + draw(SPACE)
    return text.encode()


def exact(body: bytes) -> Any:
    """Every number as it was spelt, every object as its pairs in order."""
    return json.loads(body, object_pairs_hook=list, parse_float=str, parse_int=str)


@given(requests(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), st.booleans())
def test_only_the_model_and_the_wish_for_usage_change(body: bytes, model: str, ask_usage: bool) -> None:
    call = read_call(body, streams=True)
    sent = rewritten(call, model=model, ask_usage=ask_usage)
    assert differences(dict(exact(body)), dict(exact(sent)), model, ask_usage) == []
    order = [name for name, _ in exact(sent) if name != "stream_options" or "stream_options" in call.fields]
    assert order == [name for name, _ in exact(body)]
    assert sent == body or model != call.model or (ask_usage and not call.wants_usage)


def differences(before: Mapping[str, Any], after: dict[str, Any], model: str, ask_usage: bool) -> list[str]:
    """Names of members that are not as they should be."""
    wanted = {**before, "model": model}
    if ask_usage:
        options = [pair for pair in before.get("stream_options") or [] if pair[0] != "include_usage"]
        wanted["stream_options"] = sorted([*options, ("include_usage", True)], key=repr)
        after["stream_options"] = sorted(after["stream_options"], key=repr)
    return [name for name in {*wanted, *after} if wanted.get(name, "no") != after.get(name, "no")]


@given(requests())
def test_without_a_reason_the_bytes_are_the_same_object(body: bytes) -> None:
    call = read_call(body, streams=True)
    assert rewritten(call, model=call.model, ask_usage=False) is body


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"model":"m"}', b'{"stream_options":{"include_usage":true},"model":"up"}'),
        (b' { "x": 1.50, "model" : "m" } ', b' {"stream_options":{"include_usage":true}, "x": 1.50, "model" : "up" } '),
        (b'{"model":"m","stream_options":null}', b'{"model":"up","stream_options":{"include_usage":true}}'),
        (b'{"model":"m","stream_options":{ }}', b'{"model":"up","stream_options":{"include_usage":true}}'),
        (
            b'{"stream_options":{"x":1.0},"model":"m"}',
            b'{"stream_options":{"include_usage":true,"x":1.0},"model":"up"}',
        ),
        (
            b'{"stream_options":{"x":1.0, "include_usage": false},"model":"m"}',
            b'{"stream_options":{"x":1.0, "include_usage": true},"model":"up"}',
        ),
        (b'{"\\u006dodel":"m","stream_options":{"include_usage":true}}',
         b'{"\\u006dodel":"up","stream_options":{"include_usage":true}}'),
    ],
)  # fmt: skip
def test_edits_stand_where_they_should(body: bytes, sent: bytes) -> None:
    assert rewritten(read_call(body, streams=True), model="up", ask_usage=True) == sent


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (b"", None, "no body"),
        (b"{", None, "not valid JSON"),
        (b"nonsense", None, "not valid JSON"),
        (b"\xef\xbb\xbf{}", None, "not valid JSON"),
        (b'{"model":"\xff"}', None, "not valid JSON"),
        (b'{"model":"\\ud800"}', None, "not valid JSON"),
        (b'{"model":"m","n":NaN}', None, "not valid JSON"),
        (b'{"model":"m"}{}', None, "not valid JSON"),
        (b"[" * 100_000, None, "not valid JSON"),
        (b'{"a":' * 100_000, None, "not valid JSON"),
        (b'["model"]', None, "must be a JSON object"),
        (b"null", None, "must be a JSON object"),
        (b"{}", "model", "is required"),
        (b'{"model":null}', "model", "is required"),
        (b'{"model":""}', "model", "non-empty string"),
        (b'{"model":1}', "model", "non-empty string"),
        (b'{"model":"a","model":"b"}', "model", "twice"),
        (b'{"model":"a","\\u006d\\u006fdel":"b"}', "model", "twice"),
        (b'{"x":1,"model":"a","x":1}', "x", "twice"),
        (b'{"":1,"model":"a","":1}', "", "twice"),
    ],
)
def test_what_is_not_a_request(body: bytes, param: str | None, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as caught:
        read_call(body, streams=True)
    assert (caught.value.kind, caught.value.param) == (VALIDATION, param)
    assert len(caught.value.message) < 200


def test_keys_may_repeat_below_the_top() -> None:
    assert read_call(b'{"model":"m","metadata":{"a":1,"a":2}}', streams=True).model == "m"


def test_keys_may_not_repeat_where_we_write() -> None:
    call = read_call(b'{"model":"m","stream_options":{"x":1,"\\u0078":2}}', streams=True)
    assert rewritten(call, model="m", ask_usage=False) is call.body
    with pytest.raises(GatewayError, match=r"stream_options\.x: stands twice"):
        rewritten(call, model="m", ask_usage=True)


@pytest.mark.parametrize(
    ("said", "streams", "stream"),
    [("true", True, True), ("true", False, False), ("false", True, False), ("1", True, False), ("null", True, False)],
)
def test_a_stream_is_asked_for_with_true_and_where_there_are_streams(said: str, streams: bool, stream: bool) -> None:
    assert read_call(f'{{"model":"m","stream":{said}}}'.encode(), streams=streams).stream is stream
