"""The second half of the corpus: heads. Line ends, names, values, request lines, targets, Host, and too much of all.

What a reader accepts although another would end the head, or the request, elsewhere; then what is sound after all and
must be served.
"""

from __future__ import annotations

from tests.equivalence.corpus import CORPUS, HONEST, HOST, LENGTH, LINE, SMUGGLED, TE, WHOLE, Case, get, head

BIG = b"n" * (17 << 10)
ONE = b" HTTP/1.1\r\n"

HEADS = {
    # Line ends.
    "bare LF everywhere": Case((LINE + HOST + LENGTH + b"\r\n").replace(b"\r", b"") + HONEST + SMUGGLED),
    "bare LF after the request line": Case(get(b"GET /live HTTP/1.1\n")),
    "bare LF after a header": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: 1\n", b"X-B: 2")),
    "bare LF ends the head": Case(LINE + HOST + LENGTH + b"\n" + HONEST + SMUGGLED),
    "bare CR after the request line": Case(get(b"GET /live HTTP/1.1\r")),
    "bare CR in a value": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\rb")),
    "bare CR in a name": Case(get(b"GET /live HTTP/1.1\r\n", b"X\rA: a")),
    "bare CR ends the head": Case(LINE + HOST + LENGTH + b"\r" + HONEST + SMUGGLED),
    "CR CR LF": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\r\r\n")),
    "a header in the request line's fold": Case(get(b"GET /live HTTP/1.1\r\n X-A: 1\r\n")),
    "a folded value": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\r\n b")),
    "a folded value with a tab": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\r\n\tb")),
    "a folded Host": Case(b"GET /live HTTP/1.1\r\nHost:\r\n gateway.test\r\n\r\n" + SMUGGLED),
    "a line of a space": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: 1", b" ", b"X-B: 1")),
    # Names and values.
    "space before the colon": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A : 1")),
    "tab before the colon": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A\t: 1")),
    "space before the first name": Case(b"GET /live HTTP/1.1\r\n " + HOST + b"\r\n" + SMUGGLED),
    "no name": Case(get(b"GET /live HTTP/1.1\r\n", b": 1")),
    "no colon": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A")),
    "a space in a name": Case(get(b"GET /live HTTP/1.1\r\n", b"X A: 1")),
    "NUL in a name": Case(get(b"GET /live HTTP/1.1\r\n", b"X\x00A: 1")),
    "a letter beyond ASCII in a name": Case(get(b"GET /live HTTP/1.1\r\n", b"X-\xc3\xa9: 1")),
    "brackets in a name": Case(get(b"GET /live HTTP/1.1\r\n", b"X[A]: 1")),
    "NUL in a value": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\x00b")),
    "NUL ends a value": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\x00")),
    "a control character in a value": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\x01b")),
    "DEL in a value": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: a\x7fb")),
    # Host.
    "no Host": Case(b"GET /live HTTP/1.1\r\n\r\n" + SMUGGLED),
    "two Hosts": Case(get(b"GET /live HTTP/1.1\r\n", b"Host: other.test")),
    "two Hosts, the same": Case(get(b"GET /live HTTP/1.1\r\n", b"Host: gateway.test")),
    "two Hosts on HTTP/1.0": Case(get(b"GET /live HTTP/1.0\r\n", b"Host: other.test")),
    # Request lines.
    "HTTP/0.9": Case(b"GET /live\r\n\r\n" + SMUGGLED),
    "HTTP/0.9, said": Case(get(b"GET /live HTTP/0.9\r\n")),
    "HTTP/1.2": Case(get(b"GET /live HTTP/1.2\r\n")),
    "HTTP/1.10": Case(get(b"GET /live HTTP/1.10\r\n")),
    "HTTP/2.0": Case(get(b"GET /live HTTP/2.0\r\n")),
    "HTTP/2's preface": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED),
    "HTTP/3": Case(get(b"GET /live HTTP/3\r\n")),
    "lower-case http": Case(get(b"GET /live http/1.1\r\n")),
    "HTTPS": Case(get(b"GET /live HTTPS/1.1\r\n")),
    "a space in the version": Case(get(b"GET /live HTTP /1.1\r\n")),
    "words behind the version": Case(get(b"GET /live HTTP/1.1 x\r\n")),
    "a header behind the version": Case(get(b"GET /live HTTP/1.1 X-A: 1\r\n")),
    "no version's number": Case(get(b"GET /live HTTP/\r\n")),
    "a tab before the target": Case(get(b"GET\t/live HTTP/1.1\r\n")),
    "a tab behind the target": Case(get(b"GET /live\tHTTP/1.1\r\n")),
    "a space before the method": Case(get(b" GET /live HTTP/1.1\r\n")),
    "a lower-case method": Case(get(b"get /live HTTP/1.1\r\n")),
    "an unknown method": Case(get(b"BREW /live HTTP/1.1\r\n")),
    "NUL in the method": Case(get(b"G\x00T /live HTTP/1.1\r\n")),
    "CONNECT": Case(get(b"CONNECT gateway.test:80 HTTP/1.1\r\n")),
    "CONNECT to a path": Case(get(b"CONNECT /live HTTP/1.1\r\n")),
    "a response": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + SMUGGLED),
    "TLS": Case(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + SMUGGLED),
    "nothing but words": Case(b"hello\r\n\r\n" + SMUGGLED),
    # Targets.
    "authority-form": Case(get(b"GET gateway.test:80 HTTP/1.1\r\n")),
    "authority-form of POST": Case(head(LENGTH, line=b"POST gateway.test:80" + ONE, body=HONEST + SMUGGLED)),
    "asterisk-form of GET": Case(get(b"GET * HTTP/1.1\r\n")),
    "asterisk-form of POST": Case(head(LENGTH, line=b"POST * HTTP/1.1\r\n", body=HONEST + SMUGGLED)),
    "no slash": Case(get(b"GET live HTTP/1.1\r\n")),
    "no target": Case(get(b"GET HTTP/1.1\r\n")),
    "an empty target": Case(get(b"GET  HTTP/1.1\r\n")),
    "a scheme alone": Case(get(b"GET http:// HTTP/1.1\r\n")),
    "a scheme and a path": Case(get(b"GET http:/live HTTP/1.1\r\n")),
    "NUL in the target": Case(get(b"GET /li\x00ve HTTP/1.1\r\n")),
    "DEL in the target": Case(get(b"GET /li\x7fve HTTP/1.1\r\n")),
    "a space in the target": Case(get(b"GET /li ve HTTP/1.1\r\n")),
    "a split by CR in the target": Case(get(b"GET /x\rHost: a HTTP/1.1\r\n")),
    "a split by LF in the target": Case(get(b"GET /x\nHost: a HTTP/1.1\r\n")),
    # Too much.
    "a target of 17 KiB": Case(get(b"GET /" + BIG + ONE)),
    "a method without end": Case(BIG + SMUGGLED),
    "a name of 17 KiB": Case(get(b"GET /live HTTP/1.1\r\n", BIG + b": 1")),
    "a value of 17 KiB": Case(get(b"GET /live HTTP/1.1\r\n", b"X-A: " + BIG)),
    "80 KiB of headers": Case(get(b"GET /live HTTP/1.1\r\n", *(b"X-%d: " % n + BIG[:8192] for n in range(10)))),
    "200 headers": Case(get(b"GET /live HTTP/1.1\r\n", *(b"X-%d: 1" % n for n in range(200)))),
}

SOUND = {
    "a length": head(LENGTH, body=HONEST),
    "chunks": head(TE, body=WHOLE),
    "Chunked": head(b"transfer-encoding: Chunked", body=WHOLE),
    "a coding with a tab before it": head(b"Transfer-Encoding:\tchunked", body=WHOLE),
    "a coding with a space behind it": head(b"Transfer-Encoding: chunked ", body=WHOLE),
    "a chunk extension": head(TE, body=b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(HONEST), HONEST)),
    "a quoted chunk extension": head(TE, body=b'%x;a="0"\r\n%b\r\n0\r\n\r\n' % (len(HONEST), HONEST)),
    "leading zeros": head(TE, body=b"000%x\r\n%b\r\n000\r\n\r\n" % (len(HONEST), HONEST)),
    "upper-case sizes": head(TE, body=b"%X\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST)),
    "a harmless trailer": head(TE, body=WHOLE[:-2] + b"X-T: 1\r\n\r\n"),
    "leading zeros in a length": head(b"Content-Length: 00%d" % len(HONEST), body=HONEST),
    "spaces around a length": head(b"Content-Length:  %d " % len(HONEST), body=HONEST),
    "absolute-form": head(LENGTH, line=LINE.replace(b"POST ", b"POST http://other.test"), body=HONEST),
    "an empty line before": b"\r\n" + head(LENGTH, body=HONEST),
    "two spaces before the target": head(LENGTH, line=LINE.replace(b"POST ", b"POST  "), body=HONEST),
    "two spaces behind the target": head(LENGTH, line=LINE.replace(b" HTTP", b"  HTTP"), body=HONEST),
    "h2c offered": head(
        LENGTH, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA", body=HONEST
    ),
}

EVERY = CORPUS | HEADS
assert len(EVERY) == len(CORPUS) + len(HEADS)
