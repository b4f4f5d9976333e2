"""The head of an answer as bytes, and chunks.

One pass into a buffer that is used again for every head, then one object for head and body, so that both leave in one
write. What every head begins with (status line, `server`, `date`) is rendered once a second per status.
- A header that could end its line is refused (ValueError), whoever gave it: a name must be a token, a value must have
  no control character but the tab. It goes out in UTF-8, as aiohttp does it; a lone surrogate is refused, too.
- Framing and the connection's fate are written here and by nobody else: `connection` and `transfer-encoding` among the
  given headers are refused. `content-length` may be given when the length is -1, the caller keeps to it then.
"""

from http import HTTPStatus

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython cimport final
from libc.string cimport memcpy
from libc.time cimport gmtime_r, time, time_t, tm

from gateway._fast.buffer cimport append, release

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum Ending:
    NOTHING
    CLOSE
    KEEP_ALIVE

cdef tuple DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
cdef tuple MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
cdef dict PHRASES = {each.value: each.phrase for each in HTTPStatus}

cdef char TOKEN[256]
cdef int _each
for _each in range(256):
    TOKEN[_each] = chr(_each).isalnum() and _each < 128 or chr(_each) in "!#$%&'*+-.^_`|~"


@final
cdef class ReplyHeads:
    def __cinit__(self, *, str server not None):
        self._server = server.encode("ascii")
        self._beginnings = {}

    def __dealloc__(self):
        release(&self._room)

    def head(self, int status, headers, *, int minor=1, int ending=0, chunked=False, long long length=-1,
             bytes body not None=b""):
        """For tests: what `render` gives. `ending`: 1 says close, 2 keep-alive."""
        return self.render(status, headers, minor, ending, CHUNKED if chunked else LENGTH, length, body)

    cdef bytes _beginning(self, int status, int minor):
        """Status line, server, date. The clock is the wall's, as a Date must be."""
        cdef long long now = time(NULL)
        if now != self._second:
            self._second = now
            self._beginnings.clear()
        cdef object key = status * 2 + minor
        cdef object known = self._beginnings.get(key)
        if known is None:
            known = b"HTTP/1.%d %d %b\r\nserver: %b\r\ndate: %b\r\n" % (
                minor, status, PHRASES.get(status, "").encode("ascii"), self._server, date(now))
            self._beginnings[key] = known
        return known

    cdef bytes render(self, int status, object headers, int minor, int ending, Framing framing, long long length,
                      bytes body):
        """Head and body; `length` is what content-length says, -1 for nothing."""
        cdef bytes beginning = self._beginning(status, minor)
        cdef dict given = headers if type(headers) is dict else dict(headers)
        self._room.size = 0
        append(&self._room, PyBytes_AS_STRING(beginning), PyBytes_GET_SIZE(beginning))
        for name, value in given.items():
            self._header(name, value)
        if framing == CHUNKED:
            append(&self._room, b"transfer-encoding: chunked\r\n", 28)
        elif framing == LENGTH and length >= 0:
            self._content_length(length)
        if ending == CLOSE:
            append(&self._room, b"connection: close\r\n", 19)
        elif ending == KEEP_ALIVE:
            append(&self._room, b"connection: keep-alive\r\n", 24)
        append(&self._room, b"\r\n", 2)
        cdef Py_ssize_t size = self._room.size, more = PyBytes_GET_SIZE(body)
        cdef bytes whole = PyBytes_FromStringAndSize(NULL, size + more)
        memcpy(PyBytes_AS_STRING(whole), self._room.start, <size_t> size)
        memcpy(PyBytes_AS_STRING(whole) + size, PyBytes_AS_STRING(body), <size_t> more)
        return whole

    cdef int _header(self, str name, str value) except -1:
        cdef Py_ssize_t size = 0, i
        cdef const char* text = PyUnicode_AsUTF8AndSize(name, &size)
        for i in range(size):
            if not TOKEN[<unsigned char> text[i]]:
                raise ValueError("this is no name of a header")
        if size == 0:
            raise ValueError("this is no name of a header")
        if (size == 10 or size == 17) and name.lower() in ("connection", "transfer-encoding"):
            raise ValueError("the connection frames its answers itself")
        append(&self._room, text, size)
        append(&self._room, b": ", 2)
        text = PyUnicode_AsUTF8AndSize(value, &size)
        for i in range(size):
            if (<unsigned char> text[i] < 32 and text[i] != c"\t") or text[i] == 127:
                raise ValueError(f"the value of {name} holds a control character")
        append(&self._room, text, size)
        append(&self._room, b"\r\n", 2)
        return 0

    cdef int _content_length(self, long long length) except -1:
        cdef char digits[24]
        cdef int place = 24
        while True:
            place -= 1
            digits[place] = <char> (c"0" + length % 10)
            length //= 10
            if not length:
                break
        append(&self._room, b"content-length: ", 16)
        append(&self._room, &digits[place], 24 - place)
        append(&self._room, b"\r\n", 2)
        return 0


cdef bytes date(time_t now):
    """In the one form of RFC 9110, whatever the locale."""
    cdef tm at
    gmtime_r(&now, &at)
    return (f"{DAYS[at.tm_wday]}, {at.tm_mday:02d} {MONTHS[at.tm_mon]} {at.tm_year + 1900} "
            f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT").encode("ascii")


cdef bytes chunk(bytes before, bytes data):
    """What waits to be sent, then the data as one chunk; no data is no chunk, an empty one would be the end."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), waiting = 0 if before is None else PyBytes_GET_SIZE(before)
    cdef Py_ssize_t rest = size
    cdef char digits[16]
    cdef int place = 16
    if not size:
        return b"" if before is None else before
    while rest:
        place -= 1
        digits[place] = b"0123456789abcdef"[rest & 15]
        rest >>= 4
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, waiting + (16 - place) + size + 4)
    cdef char* to = PyBytes_AS_STRING(whole)
    if waiting:
        memcpy(to, PyBytes_AS_STRING(before), <size_t> waiting)
    to += waiting
    memcpy(to, &digits[place], <size_t> (16 - place))
    to += 16 - place
    memcpy(to, b"\r\n", 2)
    memcpy(to + 2, PyBytes_AS_STRING(data), <size_t> size)
    memcpy(to + 2 + size, b"\r\n", 2)
    return whole
