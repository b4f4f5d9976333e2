"""Request smuggling and desync, as data: bytes on which two readers of HTTP could disagree about what is asked.

Each case is one connection. Where a second reader could find a second request there stands `SMUGGLED`, a sound call
with words of its own: whoever serves it has been fooled. Every case is refused with `status` and a closed connection,
with what hides in it and without. What a proxy in front makes of it is the proxy's business, as long as no provider
hears `SMUGGLED`.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.equivalence.stage import CHAT

HONEST = b'{"model":"m","messages":[{"role":"user","content":"honest"}]}'
HIDDEN = b'{"model":"m","messages":[{"role":"user","content":"smuggled"}]}'
LINE = f"POST {CHAT} HTTP/1.1\r\n".encode()
HOST = b"Host: gateway.test\r\n"
SMUGGLED = LINE + HOST + b"X-Request-Id: smuggled\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
TE = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(HONEST)
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST)


class Case(NamedTuple):
    """One connection's bytes, and what is to come of them."""

    raw: bytes
    status: int = 400
    alone: int = 400  # without `SMUGGLED`


def head(*lines: bytes, body: bytes = b"", line: bytes = LINE, host: bytes = HOST) -> bytes:
    """A request with these further header lines, each with its own end."""
    return (
        line
        + host
        + b"".join(each if each.endswith((b"\n", b"\r")) else each + b"\r\n" for each in lines)
        + b"\r\n"
        + body
    )


def get(line: bytes = b"GET /live HTTP/1.1\r\n", *lines: bytes) -> bytes:
    return head(*lines, line=line) + SMUGGLED


def coding(value: bytes, name: bytes = b"Transfer-Encoding:", body: bytes = WHOLE) -> bytes:
    """A transfer coding beside a length that ends before the smuggled request."""
    return head(name + value, body=body + SMUGGLED)


def length(*values: bytes, name: bytes = b"Content-Length: ") -> bytes:
    return head(*(name + value for value in values), body=HONEST + SMUGGLED)


def chunks(data: bytes) -> bytes:
    """A chunked body, honest at first; what comes after is read differently by different readers."""
    return head(TE, body=data + SMUGGLED)


CORPUS = {
    # Two framings: the length would end elsewhere than the chunks.
    "CL.TE": Case(
        head(b"Content-Length: %d\r\n" % (len(b"0\r\n\r\n") + len(SMUGGLED)), TE, body=b"0\r\n\r\n" + SMUGGLED)
    ),
    "TE.CL": Case(head(TE, b"Content-Length: 4", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED))),
    "CL.0": Case(head(b"Content-Length: 0", TE, body=WHOLE + SMUGGLED)),
    "both, agreeing": Case(head(b"Content-Length: %d" % len(WHOLE), TE, body=WHOLE + SMUGGLED)),
    "GET with both": Case(head(b"Content-Length: 5", TE, line=b"GET /live HTTP/1.1\r\n", body=b"0\r\n\r\n" + SMUGGLED)),
    "both on HTTP/1.0": Case(
        head(b"Content-Length: 5", TE, line=LINE.replace(b"1.1", b"1.0"), body=b"0\r\n\r\n" + SMUGGLED)
    ),
    # Transfer codings that one reader takes for chunked and another does not.
    "TE.TE xchunked": Case(coding(b" xchunked")),
    "TE.TE chunkedx": Case(coding(b" chunkedx")),
    "TE.TE chunked, identity": Case(coding(b" chunked, identity")),
    "TE.TE identity, chunked": Case(coding(b" identity, chunked")),
    "TE.TE gzip, chunked": Case(coding(b" gzip, chunked")),
    "TE.TE chunked, chunked": Case(coding(b" chunked, chunked")),
    "TE.TE chunked, gzip": Case(coding(b" chunked, gzip")),
    "TE identity": Case(coding(b" identity", body=HONEST)),
    "TE gzip": Case(coding(b" gzip")),
    "TE empty": Case(coding(b"", body=HONEST)),
    "TE cow": Case(coding(b" cow")),
    "TE vertical tab": Case(coding(b" \x0bchunked")),
    "TE form feed behind": Case(coding(b" chunked\x0c")),
    "TE NUL behind": Case(coding(b" chunked\x00")),
    "TE quoted": Case(coding(b' "chunked"')),
    "TE with a parameter": Case(coding(b" chunked;q=1")),
    "TE twice, one unknown": Case(head(b"Transfer-Encoding: cow", TE, body=WHOLE + SMUGGLED)),
    "TE twice, identity last": Case(head(TE, b"Transfer-Encoding: identity", body=WHOLE + SMUGGLED)),
    "TE twice": Case(head(TE, TE, body=WHOLE + SMUGGLED)),
    "TE folded": Case(coding(b"\r\n chunked")),
    "TE folded behind another": Case(head(b"X-A: 1\r\n Transfer-Encoding: chunked", body=WHOLE + SMUGGLED)),
    "TE space before the colon": Case(coding(b" chunked", b"Transfer-Encoding :")),
    "TE tab before the colon": Case(coding(b" chunked", b"Transfer-Encoding\t:")),
    "TE space before the name": Case(coding(b" chunked", b" Transfer-Encoding:")),
    "TE NUL in the name": Case(coding(b" chunked", b"Transfer\x00Encoding:")),
    "TE bare CR behind": Case(head(b"X-A: 1\rTransfer-Encoding: chunked", LENGTH, body=HONEST + SMUGGLED)),
    "TE bare LF behind": Case(head(b"X-A: 1\nTransfer-Encoding: chunked\r\n", LENGTH, body=HONEST + SMUGGLED)),
    "TE without a colon": Case(head(b"Transfer-Encoding chunked", LENGTH, body=HONEST + SMUGGLED)),
    "TE on HTTP/1.0": Case(head(TE, line=LINE.replace(b"1.1", b"1.0"), body=WHOLE + SMUGGLED)),
    "TE on HTTP/1.0, kept": Case(
        head(TE, b"Connection: keep-alive", line=LINE.replace(b"1.1", b"1.0"), body=WHOLE + SMUGGLED)
    ),
    # Lengths that two readers measure differently.
    "CL twice, different": Case(length(b"%d" % len(HONEST), b"0")),
    "CL twice, the same": Case(length(b"%d" % len(HONEST), b"%d" % len(HONEST))),
    "CL a list": Case(length(b"%d, %d" % (len(HONEST), len(HONEST)))),
    "CL a list with zero": Case(length(b"0, %d" % len(HONEST))),
    "CL a comma": Case(length(b"%d," % len(HONEST))),
    "CL plus": Case(length(b"+%d" % len(HONEST))),
    "CL minus": Case(length(b"-%d" % len(HONEST))),
    "CL minus nothing": Case(length(b"-0")),
    "CL hexadecimal": Case(length(b"0x%x" % len(HONEST))),
    "CL with an exponent": Case(length(b"6e1")),
    "CL a fraction": Case(length(b"%d.0" % len(HONEST))),
    "CL an underscore": Case(length(b"6_1")),
    "CL two words": Case(length(b"6 1")),
    "CL words behind": Case(length(b"%d x" % len(HONEST))),
    "CL vertical tab": Case(length(b"\x0b%d" % len(HONEST))),
    "CL NUL behind": Case(length(b"%d\x00" % len(HONEST))),
    "CL empty": Case(length(b"")),
    "CL other digits": Case(length("٦١".encode())),
    "CL beyond 64 bits": Case(length(b"18446744073709551616")),
    "CL beyond 64 bits, and round": Case(length(b"%d" % ((1 << 64) + len(HONEST)))),
    "CL beyond everything": Case(length(b"9" * 400)),
    "CL 63 bits": Case(length(b"9223372036854775808")),
    "CL larger than is read": Case(length(b"10000000"), 413, alone=413),
    "CL folded": Case(length(b"\r\n %d" % len(HONEST))),
    "CL space before the colon": Case(length(b"%d" % len(HONEST), name=b"Content-Length : ")),
    "CL space before the name": Case(length(b"%d" % len(HONEST), name=b" Content-Length: ")),
    "CL with NUL in its name": Case(length(b"%d" % len(HONEST), name=b"Content\x00Length: ")),
    # Chunks.
    "chunk size overflows": Case(chunks(b"f" * 17 + b"\r\n" + HONEST + b"\r\n0\r\n\r\n")),
    "chunk size overflows to the truth": Case(chunks(b"1%016x\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size negative": Case(chunks(b"-%x\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size plus": Case(chunks(b"+%x\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size 0x": Case(chunks(b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size underscore": Case(chunks(b"3_d\r\n%b\r\n0\r\n\r\n" % HONEST)),
    "chunk size space before": Case(chunks(b" %x\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size space behind": Case(chunks(b"%x \r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size tab behind": Case(chunks(b"%x\t\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk size missing": Case(chunks(b"\r\n%b\r\n0\r\n\r\n" % HONEST)),
    "chunk size in words": Case(chunks(b"xyz\r\n%b\r\n0\r\n\r\n" % HONEST)),
    "chunk size with a comma": Case(chunks(b"%x,0\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk lines of LF": Case(chunks(b"%x\n%b\n0\n\n" % (len(HONEST), HONEST))),
    "chunk size ends in CR": Case(chunks(b"%x\r%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk data ends in LF": Case(chunks(b"%x\r\n%b\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk data ends in nothing": Case(chunks(b"%x\r\n%b0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk data longer than it says": Case(chunks(b"%x\r\n%bxx\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk extension with LF": Case(chunks(b"%x;a\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk extension with CR": Case(chunks(b"%x;a\rb\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "chunk extension with NUL": Case(chunks(b"%x;\x00\r\n%b\r\n0\r\n\r\n" % (len(HONEST), HONEST))),
    "last chunk without its end": Case(chunks(WHOLE[:-2]), alone=408),
    "last chunk minus": Case(chunks(b"%x\r\n%b\r\n-0\r\n\r\n" % (len(HONEST), HONEST))),
    "trailer with a length": Case(chunks(b"%x\r\n%b\r\n0\r\nContent-Length: 5\r\n\r\n" % (len(HONEST), HONEST))),
    "trailer with a coding": Case(
        chunks(b"%x\r\n%b\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" % (len(HONEST), HONEST))
    ),
    "trailer with space before the colon": Case(chunks(b"%x\r\n%b\r\n0\r\nX-A : 1\r\n\r\n" % (len(HONEST), HONEST))),
    "trailer with bare LF": Case(chunks(b"%x\r\n%b\r\n0\r\nX-A: 1\n\r\n" % (len(HONEST), HONEST))),
}
