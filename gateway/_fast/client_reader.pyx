"""Bytes become requests: llhttp's events, and what llhttp leaves to us.

A request is in the queue as soon as its head is complete; its body follows. What cannot be read as HTTP is refused,
with words that quote nobody, and nothing is read any more.
- An offered upgrade is none of our business (RFC 9110, 7.8), but llhttp takes it for accepted: it calls the message
  complete without its body and stops. A fresh parser is shown a head with only the framing, and goes on from there
  with the body's bytes. Hiding the header from llhttp would need a parser in front of it.
- httptools gives a header when it is complete and keeps what it has until then, without end; so what comes and brings
  neither a head's end nor a part of a body is counted (`HEAD`, `AROUND`).
- An error may come after a message is complete, in the same read. The request is served all the same.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from gateway._fast.client_request cimport Outlet, Request
from gateway._fast.request_head import Refused

cdef enum Bounds:
    HEAD = 96 << 10  # bytes of an unfinished head
    TARGET = 16 << 10
    AROUND = 64 << 10  # bytes that frame a body (trailers, chunk extensions) and bring nothing of it

cdef str HTTP = "malformed"


cdef double now() noexcept:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return at.tv_sec + at.tv_nsec / 1e9


cdef class ClientReader(Outlet):
    """Whoever derives from it takes requests from `_queue`, and `_refused` when it is that one's turn."""

    cdef int begin_reading(self) except -1:
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self._since = now()
        return 0

    cdef int read(self, bytes data) except -1:
        """Take what has come."""
        cdef bytes rest = data
        self._head_began = self._came_on = False
        while rest is not None:
            rest = self._parse(rest)
        return self._weigh(PyBytes_GET_SIZE(data))

    cdef int _weigh(self, Py_ssize_t size) except -1:
        """What the parser keeps of unfinished lines must not grow without end."""
        if self._in_head and self._head_began:
            self._since = now()
        elif self._in_head:
            self._unfinished += size
            if self._unfinished > HEAD:
                self.refuse(HTTP, "the head is too large")
        elif self._reading is None or self._came_on:
            self._unfinished = 0
        else:
            self._unfinished += size
            if self._unfinished > AROUND:
                self.refuse(HTTP, "the body's framing is too large")
        return 0

    # the parser's events

    def on_message_begin(self):
        if self._priming:
            return
        self._reading = Request.__new__(Request)
        self._target = None
        self._in_head = self._head_began = True
        self._unfinished = 0

    def on_url(self, bytes part not None):
        if self._priming:
            return
        self._target = part if self._target is None else self._target + part
        if PyBytes_GET_SIZE(self._target) > TARGET:
            raise Refused("the target is too long")

    def on_header(self, bytes name not None, bytes value not None):
        if self._in_head:  # else it is a trailer: nobody wants it
            self._reading.headers.header(name, value)

    def on_headers_complete(self):
        cdef Request request = self._reading
        if self._priming:
            return
        request.headers.finish(self._parser.get_method(), self._target, self._minor(request))
        self._in_head = False
        self._came_on = True
        self._upgrading = request.headers.upgrades and self._parser.should_upgrade()
        request._withheld = request.headers.waits
        self._queue.append(request)
        self._behind += request.size()

    def on_body(self, bytes data not None):
        self._came_on = True
        self._reading.part(data)
        if self._reading._outlet is None:  # its turn has not come
            self._behind += PyBytes_GET_SIZE(data)

    def on_message_complete(self):
        if self._upgrading or self._priming:
            return
        self._reading.ends()
        if self._reading.headers.closes:
            self._phase = DEAF
        self._reading = None

    cdef int _minor(self, Request request) except -2:
        """1 for HTTP/1.1, 0 for HTTP/1.0, -1 for anything else. The parser says it as text, which takes its time;
        without a Connection header only an HTTP/1.1 connection is kept."""
        if not request.headers._tokens and self._parser.should_keep_alive():
            return 1
        version = self._parser.get_http_version()
        return 1 if version == "1.1" else 0 if version == "1.0" else -1

    cdef bytes _parse(self, bytes data):
        """Gives what is left of it for a fresh parser, else None."""
        try:
            self._feed(data)
            return None
        except HttpParserUpgrade as offer:
            rest = data[offer.args[0]:]
        except HttpParserError as problem:
            self._break(problem)
            return None
        self._ignore_upgrade()
        return rest if rest and self._phase == READING else None

    cdef int _ignore_upgrade(self) except -1:
        """Go on as if nothing had been offered."""
        cdef Request request = self._reading
        self.begin_reading()
        framing = b""
        if request.headers.chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif request.headers.content_length > 0:
            framing = b"Content-Length: %d\r\n" % request.headers.content_length
        self._priming = True
        self._feed(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n")
        self._upgrading = self._priming = False
        if not framing:
            self.on_message_complete()
        return 0

    cdef int _break(self, problem) except -1:
        """llhttp or we refuse what comes. Its words are its own, they quote nobody."""
        cause = problem.__context__
        if isinstance(cause, Refused):
            return self.refuse(HTTP, str(cause))
        if cause is not None:
            raise cause
        return self.refuse(HTTP, str(problem))

    cdef int refuse(self, str kind, str reason) except -1:
        """Nothing more is read. If it is the body of a request that is broken, that request is told."""
        self._phase = DEAF
        if self._reading is not None and not self._in_head:
            self._reading.breaks(reason)
        else:
            self._refused = kind, reason
        self._reading = None
        self._in_head = False
        return 0
