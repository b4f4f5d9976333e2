"""A request's head: a mapping of what was sent, and a refusal of all that could be read in two ways."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway._fast import Refused, RequestHead

Pairs = list[tuple[bytes, bytes]]
HOST: Pairs = [(b"Host", b"a")]


def head(pairs: Pairs, *, method: bytes = b"POST", target: bytes = b"/p", version: str = "1.1") -> RequestHead:
    made = RequestHead()
    for name, value in pairs:
        made.add(name, value)
    made.judge(method, target, version)
    return made


def test_it_is_a_mapping_of_lower_case_names() -> None:
    made = head([*HOST, (b"X-A", b"1  \t"), (b"x-b", b""), (b"X-a", b"2")])
    assert isinstance(made, Mapping)
    assert dict(made) == {"host": "a", "x-a": "1, 2", "x-b": ""}
    assert dict(made.items()) == dict(made)
    assert list(made) == list(made.keys()) == ["host", "x-a", "x-b"]
    assert list(made.values()) == ["a", "1, 2", ""]
    assert len(made) == 3
    assert made == {"host": "a", "x-a": "1, 2", "x-b": ""}
    assert (made.get("x-a"), made.get("x-c"), made.get("x-c", "d")) == ("1, 2", None, "d")
    assert "x-a" in made
    assert "X-A" not in made
    assert made["x-" + "a"] == "1, 2"  # a name that nobody has interned
    with pytest.raises(KeyError):
        made["x-c"]
    assert made.raw() == [("host", b"a"), ("x-a", b"1  \t"), ("x-b", b""), ("x-a", b"2")]


def test_bytes_that_are_no_utf_8_survive() -> None:
    made = head([*HOST, (b"X-A", b"caf\xe9"), (b"X-B", "né".encode())], target=b"/caf%e9?\xff")
    assert made["x-a"].encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert made["x-b"] == "né"
    assert (made.path, made.target) == ("/caf%e9", "/caf%e9?\udcff")


def test_more_names_than_are_kept() -> None:
    for number in range(3000):
        assert head([*HOST, (b"X-%d" % number, b"v")])[f"x-{number}"] == "v"
    made = head([*HOST, (b"Content-Length", b"5"), (b"N" * 5000, b"v")])
    assert made.content_length == 5
    assert made["n" * 5000] == "v"


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"/v1?a=b", "/v1", "a"),
        (b"/v1#x?y", "/v1", "a"),
        (b"//v1", "//v1", "a"),
        (b"/a%2Fb", "/a%2Fb", "a"),
        (b"http://other:81/v1?a=/b", "/v1", "other:81"),
        (b"HTTPS://other", "/", "other"),
        (b"http://other?a", "/", "other"),
        (b"http://other#a/b", "/", "other"),
    ],
)
def test_a_target_is_a_path_or_has_one(target: bytes, path: str, host: str) -> None:
    made = head(HOST, target=target)
    assert (made.path, made["host"]) == (path, host)
    assert made.target == target.decode()


def test_an_authority_is_a_host_even_if_none_was_sent() -> None:
    assert head([], target=b"http://other/p", version="1.0")["host"] == "other"


REFUSED: dict[str, tuple[Pairs, dict[str, object]]] = {
    "no Host": ([], {}),
    "no Host but an authority": ([], {"target": b"http://a/"}),
    "two Hosts": ([*HOST, (b"HOST", b"a")], {}),
    "two Hosts in 1.0": ([*HOST, *HOST], {"version": "1.0"}),
    "HTTP/2.0": (HOST, {"version": "2.0"}),
    "HTTP/0.9": (HOST, {"version": "0.9"}),
    "chunked in 1.0": ([*HOST, (b"Transfer-Encoding", b"chunked")], {"version": "1.0"}),
    "both framings": ([*HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")], {}),
    "chunked twice": ([*HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], {}),
    "two lengths": ([*HOST, (b"Content-Length", b"1"), (b"Content-Length", b"1")], {}),
    "CONNECT": (HOST, {"method": b"CONNECT", "target": b"a:1"}),
    "an authority": (HOST, {"target": b"a:1"}),
    "an asterisk": (HOST, {"method": b"OPTIONS", "target": b"*"}),
    "no authority": (HOST, {"target": b"http:///p"}),
    "a user": (HOST, {"target": b"http://user@a/p"}),
    "another scheme": (HOST, {"target": b"ftp://a/p"}),
    "a long target": (HOST, {"target": b"/" + b"a" * 16384}),
    "a long header": ([*HOST, (b"A", b"a" * 16384)], {}),
    "a long name": ([*HOST, (b"A" * 16385, b"")], {}),
    "many headers": ([*HOST, *[(b"A", b"")] * 128], {}),
    "large headers": ([*HOST, *[(b"A", b"a" * 16000)] * 5], {}),
}
CODINGS = (b"gzip, chunked", b"chunked, chunked", b"gzip", b"", b"identity", b"xchunked", b"chunked;a", b"\x0bchunked")
REFUSED |= {f"Transfer-Encoding {value!r}": ([*HOST, (b"Transfer-Encoding", value)], {}) for value in CODINGS}
REFUSED |= {
    f"Content-Length {value!r}": ([*HOST, (b"Content-Length", value)], {})
    for value in (b"", b"+1", b"-1", b"1 1", b"1, 1", b"0x1", b"1_0", b"1.0", b"\xb9", b"9" * 19, b"a")
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    pairs, rest = REFUSED[name]
    with pytest.raises(Refused):
        head(pairs, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [b"Transfer-Encoding", b"Content-Length", b"X-" + b"canary" * 3000])
def test_the_client_is_not_quoted(name: bytes) -> None:
    for pairs, target in (([*HOST, (name, b"canary" * 3)], b"/"), (HOST, b"canary"), (HOST, b"http://canary@a/")):
        with pytest.raises(Refused) as refusal:
            head(pairs, target=target)
        assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("pairs", "version", "closes"),
    [
        ([], "1.1", False),
        ([(b"Connection", b"Close")], "1.1", True),
        ([(b"Connection", b"x, CLOSE ,y")], "1.1", True),
        ([(b"Connection", b"x"), (b"Connection", b"close")], "1.1", True),
        ([(b"Connection", b"closed")], "1.1", False),
        ([], "1.0", True),
        ([(b"Connection", b"Keep-Alive")], "1.0", False),
        ([(b"Connection", b"keep-alive, close")], "1.0", True),
        ([(b"Connection", b"keep-alive, close")], "1.1", True),
    ],
)
def test_whether_the_connection_is_kept(pairs: Pairs, version: str, closes: bool) -> None:
    assert head([*HOST, *pairs], version=version).closes is closes


def test_what_else_is_noted() -> None:
    body: Pairs = [(b"Content-Length", b"00012 \t")]
    assert head([*HOST, *body]).content_length == 12
    assert head(HOST).content_length == -1
    assert head([*HOST, (b"Transfer-Encoding", b"Chunked ")]).chunked
    waits: Pairs = [(b"Expect", b"100-Continue")]
    assert head([*HOST, *body, *waits]).waits
    assert not head([*HOST, *body, *waits], version="1.0").waits
    assert not head([*HOST, *waits]).waits  # there is nothing to wait for
    assert not head([*HOST, *body, (b"Expect", b"200-ok")]).waits
    assert head([*HOST, (b"Content-Encoding", b"gzip")]).encoded
    assert head([*HOST, (b"Upgrade", b"h2c")]).upgrades
    assert (head(HOST).minor, head(HOST, version="1.0").minor) == (1, 0)
