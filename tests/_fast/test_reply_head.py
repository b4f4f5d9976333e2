"""An answer's head: rendered once, and nothing that is put into it can be more than it says."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from gateway._fast import ReplyHeads

HEADS = ReplyHeads(server="llm-gateway")


def lines(data: bytes) -> list[bytes]:
    head, found, _ = data.partition(b"\r\n\r\n")
    assert found
    return head.split(b"\r\n")


def test_a_whole_answer() -> None:
    data = HEADS.head(200, {"content-type": "a/b", "x-a": "é\t"}, length=2, body=b"hi")
    status, server, date, *rest = lines(data)
    assert (status, server) == (b"HTTP/1.1 200 OK", b"server: llm-gateway")
    assert rest == [b"content-type: a/b", "x-a: é\t".encode(), b"content-length: 2"]
    assert data.endswith(b"\r\n\r\nhi")
    assert abs(parsedate_to_datetime(date.decode().removeprefix("date: ")).timestamp() - time.time()) < 10


@pytest.mark.parametrize("length", [0, 1, 10, 1234567890123456789])
def test_a_length(length: int) -> None:
    assert lines(HEADS.head(200, {}, length=length))[-1] == b"content-length: %d" % length


def test_framing_and_fate() -> None:
    chunked = lines(HEADS.head(404, {}, chunked=True, ending=1))
    assert chunked[3:] == [b"transfer-encoding: chunked", b"connection: close"]
    assert lines(HEADS.head(200, {}, minor=0, ending=2))[0] == b"HTTP/1.0 200 OK"
    assert lines(HEADS.head(200, {}, minor=0, ending=2))[3:] == [b"connection: keep-alive"]
    assert lines(HEADS.head(499, {}))[0] == b"HTTP/1.1 499 "
    assert HEADS.head(503, {})[:33] == b"HTTP/1.1 503 Service Unavailable\r"


def test_what_was_rendered_before_is_not_mixed_in() -> None:
    long = HEADS.head(200, {"x-a": "a" * 10_000}, length=3, body=b"abc")
    assert len(long) > 10_000
    assert lines(HEADS.head(200, {}, length=0))[3:] == [b"content-length: 0"]
    assert HEADS.head(200, {"x-a": "a" * 10_000}, length=3, body=b"abc")[-10_100:] == long[-10_100:]


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\r", "\0", "a\x7f", "\x0b", "\x1b[0m", "\udc80"])
def test_a_value_that_could_end_its_line_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"control character|surrogate") as refusal:
        HEADS.head(200, {"x-a": value})
    assert "b: c" not in str(refusal.value)
    assert lines(HEADS.head(200, {}))[3:] == []


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é", "a\0", "(a)"])
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        HEADS.head(200, {name: "v"})


@pytest.mark.parametrize("name", ["connection", "Connection", "transfer-encoding", "Transfer-Encoding"])
def test_framing_is_nobody_elses(name: str) -> None:
    with pytest.raises(ValueError, match="frames"):
        HEADS.head(200, {name: "close"})


@pytest.mark.parametrize("headers", [{"a": 1}, {1: "a"}, {"a": None}, {"a": b"b"}])
def test_headers_are_text(headers: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        HEADS.head(200, headers)


def test_any_mapping_will_do() -> None:
    from types import MappingProxyType

    assert lines(HEADS.head(200, MappingProxyType({"x-a": "b"})))[3:] == [b"x-a: b"]
