"""Spans of the values of top-level keys."""

from __future__ import annotations

import json
import random
from types import ModuleType

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _fast
from tests._fast import twins

BODIES = {
    "empty": b"{}",
    "space": b" \t\r\n{ \n } \r\n",
    "kinds": b'{"a":1,"b":-1.5e+10,"c":true,"e":null,"f":"x","g":[],"h":{},"i":[{"j":[1,{"k":"]"}]}],"l":1E5}',
    "spaced": b' { "a" : 1 , "b"\n:\n[ 1 , 2 ]\t,\r"c" : "x" } ',
    "escapes": rb'{"a":"\"","b":"\\","c":"\\\"","d":"\\\\","e\"":1,"\\":2,"\u0066":3,"\ud83d\ude00":4}',
    "brackets in strings": rb'{"a":["}","]","\"]","{[",{"]":"}\\"}],"b":"{"}',
    "utf-8": '{"wörd":"ü","😀":"\u2028"}'.encode(),
    "empty key": b'{"":1," ":2}',
    "nested keys may repeat": b'{"a":{"b":1,"b":2},"c":{"a":1}}',
}
BROKEN = {
    "nothing": b"",
    "space": b"  ",
    "array": b"[]",
    "text": b'"a"',
    "byte order mark": b"\xef\xbb\xbf{}",
    "open": b"{",
    "open key": b'{"a',
    "escaped end of key": b'{"a\\":1}',
    "key alone": b'{"a"',
    "key without value": b'{"a":',
    "no value": b'{"a":}',
    "no colon": b'{"a" 1}',
    "comma at the end": b'{"a":1,}',
    "comma at the start": b'{,"a":1}',
    "comma alone": b"{,}",
    "no comma": b'{"a":1 "b":2}',
    "key that is no string": b"{1:2}",
    "open string": b'{"a":"x}',
    "open array": b'{"a":[1,[2]',
    "open object": b'{"a":{"b":1}',
    "closed too often": b'{"a":1}}',
    "closed with the other": b'{"a":[1}}',
    "something after": b"{} {}",
    "bare word": b'{"a":@}',
    "key that is no UTF-8": b'{"\xff":1}',
    "key with half a pair": rb'{"\ud800":1}',
    "key with a bad escape": rb'{"\x":1}',
}


@pytest.mark.parametrize("case", BODIES)
def test_spans_are_the_values(fast: ModuleType, case: str) -> None:
    body = BODIES[case]
    value = orjson.loads(body)
    spans = fast.top_level(body)
    assert list(spans) == list(value)
    for key, (start, end) in spans.items():
        assert orjson.loads(body[start:end]) == value[key]
        assert body[start:end] == body[start:end].strip()


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_whole_object(fast: ModuleType, case: str) -> None:
    with pytest.raises(ValueError, match=r"."):  # the twin has its own words
        fast.top_level(BROKEN[case])


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"model":1,"model":2}', "model"),
        (rb'{"model":1,"mod\u0065l":2}', "model"),
        (rb'{"\u006dodel":1,"stream":true,"mod\u0065l":2}', "model"),
        (rb'{"/":1,"\/":2}', "/"),
        ('{"😀":1,"\\ud83d\\ude00":2}'.encode(), "😀"),
        (b'{"":1,"":2}', ""),
    ],
)
def test_a_key_that_comes_twice(fast: ModuleType, body: bytes, key: str) -> None:
    with pytest.raises(fast.DuplicateKey) as caught:
        fast.top_level(body)
    assert caught.value.key == key
    assert isinstance(caught.value, ValueError)


def test_only_bytes_are_taken() -> None:
    for other in (bytearray(b"{}"), "{}", None, memoryview(b"{}")):
        with pytest.raises(TypeError):
            _fast.top_level(other)  # type: ignore[arg-type]


LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.sampled_from('ab"\\/{}[]:,\n\x00é😀\u2028'), max_size=8)
JSON = st.recursive(LEAVES | TEXT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(value=st.dictionaries(TEXT, JSON, max_size=8), ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 2]))
def test_any_object_is_the_twins(value: dict[str, object], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    spans = _fast.top_level(body)
    assert spans == twins.top_level(body)
    assert {key: json.loads(body[start:end]) for key, (start, end) in spans.items()} == value


def outcome(module: ModuleType, body: bytes) -> object:
    try:
        return module.top_level(body)
    except module.DuplicateKey as twice:
        return twice.key
    except (ValueError, RecursionError):
        return None


@settings(max_examples=500, deadline=None, derandomize=True)
@given(pieces=st.lists(st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"1", b" ", b"a", b"\xff"])))
def test_any_bytes_give_spans_within_or_an_error(pieces: list[bytes]) -> None:
    for body in (b"".join(pieces), b'{"a":' + b"".join(pieces) + b"}"):
        check_any(body)


def test_cut_and_mutated_bodies() -> None:
    dice = random.Random(65)
    originals = list(BODIES.values())
    for original in originals:
        for end in range(len(original)):
            check_any(original[:end])
    for _ in range(3000):
        body = bytearray(dice.choice(originals))
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(body) + 1)
            body[at : at + dice.randrange(3)] = dice.choice([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\x00", b""])
        check_any(bytes(body))


def check_any(body: bytes) -> None:
    found = outcome(_fast, body)
    if isinstance(found, dict):
        assert all(0 < start < end < len(body) for start, end in found.values())
    try:
        orjson.loads(body)
    except ValueError:
        return
    assert found == outcome(twins, body)


def test_depth_and_width_and_length() -> None:
    deep = b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b',"b":2}'
    assert _fast.top_level(deep) == {"a": (5, 1_000_005), "b": (1_000_010, 1_000_011)}
    with pytest.raises(ValueError, match="no whole value"):
        _fast.top_level(deep[:700_000])
    wide = b"{" + b",".join(b'"%d":%d' % (number, number) for number in range(20_000)) + b"}"
    assert all(wide[start:end] == key.encode() for key, (start, end) in _fast.top_level(wide).items())
    for inside in (b"\\\\", b'\\"', b"x", b"{", b"\x00"):
        body = b'{"a":"' + inside * 1_000_000 + b'","b":1}'
        assert list(_fast.top_level(body)) == ["a", "b"]
        with pytest.raises(ValueError, match="byte"):
            _fast.top_level(body[:-7])
