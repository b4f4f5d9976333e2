"""Where the values of a JSON object's top-level keys lie, so that a body can be forwarded with only those replaced.

It is no validator: bodies were accepted by orjson before. Bytes that were not are safe too: they give spans that lie
within the body, or ValueError; nothing outside [0, size) is read and nothing recurses. What is always checked: one
object and only white space around it, keys that are strings, colons and commas between, brackets closed in number.

A key is compared as its reader will compare it: unescaped. "mod\\u0065l" after "model" is a second one, and a second is
refused, because two readers of the same bytes could each take another one.

A string is crossed with memchr from quote to quote, where a quote after an odd number of backslashes is escaped. (Byte
by byte for the first 16 bytes was tried: twice as fast on nothing but escaped quotes, three times slower on messages.)
"""

import re

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr

from orjson import loads as _loads

cdef object loads = _loads

cdef object halves = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").sub

cdef unsigned char STRUCTURAL[256]      # quotes and brackets: what matters inside a container

STRUCTURAL[<int> c'"'] = STRUCTURAL[<int> c"{"] = STRUCTURAL[<int> c"}"] = 1
STRUCTURAL[<int> c"["] = STRUCTURAL[<int> c"]"] = 1


def parse(bytes text not None, /):
    """What orjson reads, and half surrogate pairs besides, as U+FFFD: JSON has them (RFC 8259 section 8.2), and whoever
    cuts a text by UTF-16 units sends them."""
    try:
        return loads(text)
    except ValueError:
        if b"\\u" not in text:
            raise
    return loads(halves(b"\\\\ufffd", text))


class DuplicateKey(ValueError):
    """A top-level key came twice."""

    def __init__(self, key):
        super().__init__(f"duplicate key {key!r}")
        self.key = key


cdef object broken(Py_ssize_t at, str what):
    return ValueError(f"byte {at}: {what}")


cdef inline Py_ssize_t skip_space(const char* text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    while at < size and (text[at] == c" " or text[at] == c"\n" or text[at] == c"\r" or text[at] == c"\t"):
        at += 1
    return at


cdef Py_ssize_t past_string(const char* text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """`at` is a quote: the offset after the closing one, or -1."""
    cdef Py_ssize_t clear = at + 1, back        # `clear`: no byte from here on is escaped by one before
    cdef const char* quote
    while clear < size:
        quote = <const char*> memchr(text + clear, c'"', <size_t> (size - clear))
        if quote == NULL:
            return -1
        back = at = quote - text
        while back > clear and text[back - 1] == c"\\":
            back -= 1
        clear = at + 1
        if (at - back) % 2 == 0:
            return clear
    return -1


cdef Py_ssize_t past_container(const char* text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """`at` is an opening bracket: the offset after its closing one, or -1."""
    cdef Py_ssize_t depth = 0
    cdef char opening = text[at]
    while True:
        while at < size and not STRUCTURAL[<unsigned char> text[at]]:
            at += 1
        if at >= size:
            return -1
        if text[at] == c'"':
            at = past_string(text, at, size)
            if at < 0:
                return -1
            continue
        depth += 1 if text[at] == c"{" or text[at] == c"[" else -1
        at += 1
        if depth == 0:
            return at if text[at - 1] == (c"}" if opening == c"{" else c"]") else -1


cdef Py_ssize_t past_scalar(const char* text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """The offset after a number, true, false or null, or -1 if there is nothing like it."""
    cdef Py_ssize_t start = at
    while at < size and (c"a" <= text[at] <= c"z" or c"0" <= text[at] <= c"9"
                         or text[at] == c"." or text[at] == c"-" or text[at] == c"+" or text[at] == c"E"):
        at += 1
    return at if at > start else -1


cdef inline Py_ssize_t past_value(const char* text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    if at >= size:
        return -1
    if text[at] == c'"':
        return past_string(text, at, size)
    if text[at] == c"{" or text[at] == c"[":
        return past_container(text, at, size)
    return past_scalar(text, at, size)


cdef str key_of(const char* text, Py_ssize_t start, Py_ssize_t stop):
    """The key whose quotes are at `start` and before `stop`, unescaped."""
    if memchr(text + start, c"\\", <size_t> (stop - start)) == NULL:
        return PyUnicode_DecodeUTF8(text + start + 1, stop - start - 2, NULL)
    return loads(PyBytes_FromStringAndSize(text + start, stop - start))


def top_level(bytes body not None, /):
    """The spans [start, end) of the values of the object's keys, in the order of the body."""
    cdef const char* text = PyBytes_AS_STRING(body)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body), at, start
    cdef dict spans = {}
    cdef str key
    at = skip_space(text, 0, size)
    if at >= size or text[at] != c"{":
        raise broken(at, "an object must start here")
    at = skip_space(text, at + 1, size)
    if at < size and text[at] == c"}":
        at += 1
    else:
        while True:
            start = at
            at = past_string(text, at, size) if at < size and text[at] == c'"' else -1
            if at < 0:
                raise broken(start, "a key must be here")
            key = key_of(text, start, at)
            if key in spans:
                raise DuplicateKey(key)
            at = skip_space(text, at, size)
            if at >= size or text[at] != c":":
                raise broken(at, "a colon must be here")
            start = skip_space(text, at + 1, size)
            at = past_value(text, start, size)
            if at < 0:
                raise broken(start, "no whole value is here")
            spans[key] = (start, at)
            at = skip_space(text, at, size)
            if at >= size or (text[at] != c"," and text[at] != c"}"):
                raise broken(at, "a comma or the object's end must be here")
            at += 1
            if text[at - 1] == c"}":
                break
            at = skip_space(text, at, size)
    if skip_space(text, at, size) != size:
        raise broken(at, "something follows the object")
    return spans
