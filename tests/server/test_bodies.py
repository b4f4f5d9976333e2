"""Bodies that are no request: a clear 400 that names the place, and the same connection goes on."""

from __future__ import annotations

import pytest

from tests.server.raw import HELLO, Wire, request


def with_field(text: bytes) -> bytes:
    return HELLO[:-1] + b"," + text + b"}"


NOT_JSON = {
    "a wrong sign": (b'{"model":"echo",]', "char 16"),
    "cut off": (b'{"model":"echo"', "char 15"),
    "goes on after its end": (HELLO + b"x", f"char {len(HELLO)}"),
    "not UTF-8": (HELLO.replace(b"hello", b"\xff"), f"byte {HELLO.index(b'hello')}"),
    "UTF-16": (HELLO.decode().encode("utf-16"), "byte 0"),
    "overlong UTF-8": (HELLO.replace(b"hello", b"\xc0\xaf"), f"byte {HELLO.index(b'hello')}"),
    "a byte order mark": (b"\xef\xbb\xbf" + HELLO, "byte order mark"),
    "a lone surrogate": (HELLO.replace(b"hello", b"\\ud800"), "surrogate"),
    "a lone surrogate as key": (with_field(b'"\\udc00":1'), "surrogate"),
    "NaN": (with_field(b'"temperature":NaN'), "valid JSON"),
    "Infinity": (with_field(b'"temperature":-Infinity'), "valid JSON"),
    "beyond a double": (with_field(b'"temperature":1e999'), "infinity"),
    "400 digits": (with_field(b'"max_tokens":' + b"9" * 400), "infinity"),
    "closed depth bomb": (with_field(b'"x":' + b"[" * 30_000 + b"]" * 30_000), "depth"),
    "open depth bomb": (b'{"a":' * 12_000, "depth"),
    "single quotes": (b"{'model': 'echo'}", "char 1"),
    "a comment": (b"// hi\n" + HELLO, "char 0"),
}

NOT_A_REQUEST = {
    "empty": (b"", None, "no body"),
    "white space": (b"  \n", None, "valid JSON"),
    "an array": (b"[1]", None, "object"),
    "a string": (b'"model"', None, "object"),
    "null": (b"null", None, "object"),
    "no model": (b'{"messages":[{"role":"user","content":"a"}]}', "model", "required"),
    "a null model": (HELLO.replace(b'"echo"', b"null"), "model", "required"),
    "a number as model": (HELLO.replace(b'"echo"', b"7"), "model", "string"),
    "an empty model": (HELLO.replace(b'"echo"', b'""'), "model", "non-empty"),
    "no messages": (b'{"model":"echo"}', "messages", "required"),
    "no message": (b'{"model":"echo","messages":[]}', "messages", "empty"),
    "an object as messages": (b'{"model":"echo","messages":{}}', "messages", "array"),
    "a number as message": (b'{"model":"echo","messages":[5]}', "messages[0]", "object"),
    "an unknown role": (HELLO.replace(b'"user"', b'"robot"'), "messages[0].role", "one of system"),
    "a number as role": (HELLO.replace(b'"user"', b"5"), "messages[0].role", "one of"),
    "no content": (b'{"model":"echo","messages":[{"role":"user"}]}', "messages[0].content", "required"),
    "a number as content": (HELLO.replace(b'"hello there"', b"5"), "messages[0].content", "a string or"),
    "a part without text": (HELLO.replace(b'"hello there"', b'[{"type":"text"}]'), "messages[0].content[0].text", ""),
    "too hot": (with_field(b'"temperature":2.01'), "temperature", "between 0 and 2"),
    "a text as number": (with_field(b'"temperature":"1"'), "temperature", "number"),
    "a boolean as number": (with_field(b'"temperature":true'), "temperature", "number"),
    "top_p": (with_field(b'"top_p":-0.1'), "top_p", "between 0 and 1"),
    "no tokens": (with_field(b'"max_tokens":0'), "max_tokens", "at least 1"),
    "half a token": (with_field(b'"max_tokens":1.5'), "max_tokens", "whole"),
    "too many choices": (with_field(b'"n":129'), "n", "at most 128"),
    "presence_penalty": (with_field(b'"presence_penalty":3'), "presence_penalty", "between -2 and 2"),
    "a text as stream": (with_field(b'"stream":"yes"'), "stream", "true or false"),
    "deep inside": (with_field(b'"stream_options":{"include_usage":1}'), "stream_options.include_usage", "true or"),
    "a nameless tool": (with_field(b'"tools":[{"type":"function","function":{}}]'), "tools[0].function.name", ""),
    "twice": (with_field(b'"model":"other"'), "model", "twice"),
    "twice, once escaped": (with_field(b'"\\u006dod\\u0065l":"other"'), "model", "twice"),
    "an unknown field twice": (with_field(b'"x":1,"x":2'), "x", "twice"),
}

GOOD = {
    "white space around it": b" \r\n\t" + HELLO + b"\n\n",
    "unknown fields": with_field(b'"x":{"y":[1]},"reasoning_effort":"high"'),
    "nested duplicates": with_field(b'"x":{"y":1,"y":2}'),
    "400 levels": with_field(b'"x":' + b"[" * 400 + b"]" * 400),
    "nulls": with_field(b'"temperature":null,"tools":null,"stream_options":null,"stop":null'),
    "a whole float": with_field(b'"max_tokens":3.0,"n":1.0'),
    "40 digits": with_field(b'"seed":' + b"9" * 40),
    "a NUL": HELLO.replace(b"hello", b"\\u0000"),
    "a surrogate pair": HELLO.replace(b"hello", b"\\ud83d\\ude00"),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json(wire: Wire, name: str) -> None:
    body, place = NOT_JSON[name]
    answer = wire.ask(request(body))
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["code"] == "validation_error"
    assert "not valid JSON" in answer.error["message"]
    assert place in answer.error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize("name", NOT_A_REQUEST)
def test_what_is_not_a_request(wire: Wire, name: str) -> None:
    body, param, words = NOT_A_REQUEST[name]
    answer = wire.ask(request(body))
    assert answer.status == 400
    assert answer.error["param"] == param
    assert words in answer.error["message"]
    assert answer.error["code"] == "validation_error"
    assert wire.ask(request(HELLO)).status == 200


@pytest.mark.parametrize("name", GOOD)
def test_what_is_unusual_but_right(wire: Wire, name: str) -> None:
    assert wire.ask(request(GOOD[name])).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", b'{"model":"echo","prompt":[37.0,2]}'),
        ("/v1/embeddings", b'{"model":"echo","input":[[37.0],[2]]}'),
    ],
)
def test_a_token_may_be_spelled_as_a_float(wire: Wire, path: str, body: bytes) -> None:
    assert wire.ask(request(body, path=path)).status == 200


@pytest.mark.parametrize("body", [b'{"model":"echo","input":[37.5]}', b'{"model":"echo","input":[1,"a"]}'])
def test_a_token_is_whole_and_no_text(wire: Wire, body: bytes) -> None:
    answer = wire.ask(request(body, path="/v1/embeddings"))
    assert answer.status == 400
    assert answer.error["param"].startswith("input[")


def test_an_unknown_model_is_404(wire: Wire) -> None:
    answer = wire.ask(request(HELLO.replace(b"echo", b"m\\n\\ud83d\\ude00" + b"m" * 500)))
    assert answer.status == 404
    assert (answer.error["code"], answer.error["param"]) == ("model_not_found", "model")
    assert len(answer.error["message"]) < 400
    assert wire.ask(request(HELLO)).status == 200
