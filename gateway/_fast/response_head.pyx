"""The head of one answer: its header lines as they came, and what they say about the body. No I/O; for compiled modules only.

Most answers are forwarded without anybody asking for more than one of their headers, so a line is kept as the two byte
strings that llhttp gives, and the mapping is made when it is asked for: names in lower case (the usual ones are made once
per process), values as UTF-8 with what is none of it kept as surrogates; of a name that comes twice the last line counts.

llhttp refuses by itself: a length that is no number, is said twice or stands beside a transfer encoding; white space
before a colon, a folded line, a bare CR or LF, a NUL in a value. Left to us, and refused here: a transfer encoding other
than plain `chunked`, or in an answer older than HTTP/1.1; a version that is neither 1.1 nor 1.0; a status below 100; more
lines than `LINES_MOST`, or a longer one than `LINE_LARGEST`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cython cimport final, freelist

import sys

cdef extern from "strings.h":
    int strncasecmp(const char* one, const char* other, size_t length) nogil

cdef enum Limits:
    LINES_MOST = 128
    LINE_LARGEST = 16384    # bytes of a name and its value
    NAMES_KEPT = 512        # a provider that invents names fills no memory

cdef dict NAMES = {}        # a name as it came: the same in lower case


cdef inline bint same(bytes name, const char* other) noexcept:
    """Are they the same but for their case? Their lengths are."""
    return strncasecmp(PyBytes_AS_STRING(name), other, <size_t> PyBytes_GET_SIZE(name)) == 0


cdef str lowered(bytes name):
    cdef PyObject* known = PyDict_GetItem(NAMES, name)
    if known != NULL:
        return <str> known
    made = sys.intern(name.lower().decode("latin-1"))
    if len(NAMES) < NAMES_KEPT:
        NAMES[name] = made
    return made


@final
@freelist(64)
cdef class ResponseHead:
    def __cinit__(self):
        self._lines = []

    cdef str add(self, bytes name, bytes value):
        """Keep a line; gives why it is refused, if it is."""
        cdef Py_ssize_t length = PyBytes_GET_SIZE(name)
        self._count += 1
        if self._count > LINES_MOST:
            return "too many header lines"
        if length + PyBytes_GET_SIZE(value) > LINE_LARGEST:
            return "a header line is too long"
        self._lines.append(name)
        self._lines.append(value)
        if length == 10:
            if same(name, "keep-alive"):
                self._keep_alive = value
        elif length == 14:
            if same(name, "content-length"):
                self._lengths += 1
        elif length == 16:
            if same(name, "content-encoding"):
                self._encoding = value if self._encoding is None else self._encoding + b", " + value
        elif length == 17 and same(name, "transfer-encoding"):
            self._codings += 1
            self._coding = value
        return None

    cdef str judge(self, int status, bint http_1_1):
        """The head is complete: gives why it is refused, if it is."""
        self.status = status
        if status < 100:
            return "its status is none"
        if self._codings:
            if not http_1_1:
                return "a transfer encoding in HTTP/1.0"
            if self._codings > 1 or self._coding.strip(b" \t").lower() != b"chunked":
                return "a transfer encoding other than chunked"
            if self._lengths:
                return "a length beside a transfer encoding"
        elif self._lengths > 1:
            return "two lengths"
        self.until_close = self._codings + self._lengths == 0 and status != 204 and status != 304
        return None

    cdef dict headers(self):
        cdef dict headers
        cdef Py_ssize_t at
        if self._headers is None:
            headers = {}
            for at in range(0, len(self._lines), 2):
                value = (<bytes> self._lines[at + 1]).strip(b" \t").decode("utf-8", "surrogateescape")
                headers[lowered(<bytes> self._lines[at])] = value
            self._headers = headers
        return self._headers

    cdef double patience(self) except? -2.0:
        """For how long the server says it keeps the connection; -1: it does not say."""
        if self._keep_alive is None:
            return -1.0
        for part in self._keep_alive.lower().split(b","):
            name, _, seconds = part.partition(b"=")
            if name.strip() == b"timeout" and seconds.strip().isdigit():
                return float(seconds[:9])
        return -1.0

    cdef str encoding(self):
        """The content encoding in lower case; empty if there is none."""
        if self._encoding is None:
            return ""
        name = self._encoding.strip(b" \t").lower().decode("latin-1")
        return "" if name == "identity" else name
