"""A client's connection: llhttp's events become requests, one after the other they are given to the lane.

    bytes ─▶ llhttp ─▶ Request ─▶ queue ─▶ lane.begin(request) ─▶ answered ─▶ the next, or the end

Answers go out in order because a request begins when the answer before it has ended. Reading is never paused while one
runs, since a paused transport does not tell that its client has left; instead what may wait is bounded (`BEHIND`).
- Leaving is the client's end or reset, in every phase: `lane.gone(request)` is told of the request that runs, and
  those behind it are forgotten.
- What cannot be read as HTTP is refused when its turn has come: the requests before it are answered. Then nothing is
  read any more, and the connection ends.
- The end: closing at once, while the client sends, would reset the connection and lose the answer with it. So our side
  is shut, and what still comes is thrown away while it comes and within bounds (`PAUSE`, `LINGER`, `READ_AWAY`).
- An offered upgrade is none of our business (RFC 9110, 7.8), but llhttp takes it for accepted: it calls the message
  complete without its body and stops. A fresh parser is shown a head with only the framing, and goes on from there
  with the body's bytes. Hiding the header from llhttp would need a parser in front of it.
- No timers: `sweep`, once a second, is given the time and closes what took too long.

The lane, a Python object: `begin`, `gone`, `read`, `refusal`, `joined`, `left`, `leaving`, `heads`.
"""

import asyncio

from cpython.bytes cimport PyBytes_GET_SIZE
from cython cimport final
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from libc.math cimport INFINITY
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from gateway._fast.client_request cimport Outlet, Request
from gateway._fast.reply_head cimport LENGTH

from gateway._fast.request_head import Refused

cdef enum Bounds:
    BEHIND = 256 << 10  # bytes that may wait behind the request that is answered
    HEAD = 96 << 10  # bytes of an unfinished head
    TARGET = 16 << 10
    AROUND = 64 << 10  # bytes that frame a body (trailers, chunk extensions) and bring nothing of it
    READ_AWAY = 64 << 20
    HIGH = 64 << 10  # a client that is behind by so much is waited for,
    LOW = 16 << 10  # until it is behind by no more than this

cdef enum Phase:
    READING
    DEAF  # what comes is no request: it was broken, or another connection was asked for
    LINGERING
    CLOSING

cdef double PAUSE = 1.0, LINGER = 10.0
cdef str HTTP = "malformed", LATE = "late"


cdef double now() noexcept:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return at.tv_sec + at.tv_nsec / 1e9


@final
cdef class ClientConnection(Outlet):
    cdef object _parser
    cdef object _feed
    cdef Request _current
    cdef Request _reading
    cdef list _queue
    cdef bytes _target
    cdef tuple _refused
    cdef Py_ssize_t _behind
    cdef Py_ssize_t _unfinished
    cdef Py_ssize_t _discarded
    cdef Phase _phase
    cdef bint _in_head
    cdef bint _came_on
    cdef bint _head_began
    cdef bint _upgrading
    cdef bint _priming
    cdef bint _served
    cdef bint _ended
    cdef double _since
    cdef double _heard

    def __cinit__(self, lane not None):
        self._lane = lane
        self._heads = lane.heads
        self._queue = []

    # --- the transport's events ---------------------------------------------------------------------------

    def connection_made(self, transport):
        self._loop = asyncio.get_running_loop()
        self._transport, self._put = transport, transport.write
        transport.set_write_buffer_limits(high=HIGH, low=LOW)
        name = transport.get_extra_info("peername")
        self.peer = None if name is None else str(name[0] if isinstance(name, (tuple, list)) else name)
        self._new_parser()
        self._since = now()
        self._lane.joined(self)

    def data_received(self, bytes data not None):
        if self._phase != READING:
            self._discard(PyBytes_GET_SIZE(data))
            return
        cdef bytes rest = data
        if self._current is not None and self._current._answered:
            self._heard = now()
        self._head_began = self._came_on = False
        while rest is not None:
            rest = self._parse(rest)
        self._weigh(PyBytes_GET_SIZE(data))
        self._advance()
        if self._behind > BEHIND and self._current is not None:
            self._leave()
            self._transport.abort()

    cdef int _weigh(self, Py_ssize_t size) except -1:
        """What the parser keeps of unfinished lines must not grow without end."""
        if self._in_head and self._head_began:
            self._since = now()
        elif self._in_head:
            self._unfinished += size
            if self._unfinished > HEAD:
                self._refuse(HTTP, "the head is too large")
        elif self._reading is None or self._came_on:
            self._unfinished = 0
        else:
            self._unfinished += size
            if self._unfinished > AROUND:
                self._refuse(HTTP, "the body's framing is too large")
        return 0

    def eof_received(self):
        self._ended = True
        if self._leave():
            self._transport.abort()
        return False

    def connection_lost(self, exc):
        self._leave()
        self._phase = CLOSING
        self._put = self._transport = self._parser = self._feed = None
        self.wake(True)
        self._lane.left(self)

    def resume_writing(self):
        self._paused = False
        self.wake(False)
        if self._current is not None and self._current._answered:
            self.answered(self._current)

    # --- the parser's events ------------------------------------------------------------------------------

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
        if self._in_head:
            self._reading.headers.header(name, value)
        elif not self._priming:  # a trailer: nobody wants it
            self._reading._trailers += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
            if self._reading._trailers > AROUND:
                raise Refused("the body's framing is too large")

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
        if self._reading is not self._current:
            self._behind += PyBytes_GET_SIZE(data)

    def on_message_complete(self):
        if self._upgrading or self._priming:
            return
        self._reading.ends()
        if self._reading.headers.closes:
            self._phase = DEAF
        self._reading = None

    cdef void _new_parser(self):
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data

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
        self._new_parser()
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
            return self._refuse(HTTP, str(cause))
        if cause is not None:
            raise cause
        if self._phase != READING:  # bytes behind a request that asked for the connection's end
            return 0
        return self._refuse(HTTP, str(problem))

    # --- whose turn it is ---------------------------------------------------------------------------------

    cdef int _refuse(self, str kind, str reason) except -1:
        """Nothing more is read. If it is the body of a request that is broken, that request is told."""
        self._phase = DEAF
        if self._reading is not None and not self._in_head:
            self._reading.breaks(reason)
        else:
            self._refused = kind, reason
        self._reading = None
        self._in_head = False
        return 0

    cdef int _advance(self) except -1:
        """Begin what can begin."""
        cdef Request request = self._current
        if request is not None:
            if request._answered and request.complete and not self._paused:
                self.answered(request)
            return 0
        if self._queue:
            request = self._queue.pop(0)
            self._behind -= request.size()
            request._outlet = self
            self._current = request
            self._served = True
            self._lane.begin(request)
        elif self._refused is not None:
            self._tell_refusal()
        elif self._phase == DEAF:
            self._shut()
        return 0

    cdef int answered(self, Request request) except -1:
        """Now, unless the client has to take it first; then again when it has."""
        if self._paused or request is not self._current:
            return 0
        if request._closing and (request.complete or request._withheld or request.late):
            self._shut()
        elif request._closing:
            self._linger()
        elif not request.complete:
            self._since = self._heard = now()  # a little of its body is on its way
        else:
            self._current = request._outlet = None
            self._since = now()
            self._advance()
        return 0

    cdef int _tell_refusal(self) except -1:
        cdef int status
        status, headers, body = self._lane.refusal(self._refused[0], self._refused[1], self.peer)
        self._refused = None
        self._put(self._heads.render(status, headers, 1, 1, LENGTH, PyBytes_GET_SIZE(body), body))
        return self._linger()

    # --- the end ------------------------------------------------------------------------------------------

    cdef bint _leave(self) except -1:
        """The client has left; whether somebody was at work for it."""
        cdef Request request = self._current
        self._queue.clear()
        self._reading = self._current = self._refused = None
        self._in_head = False
        self._behind = 0
        if self._phase == READING:
            self._phase = DEAF
        if request is None or request._answered and not self._paused:
            return False
        request.leaves()
        self._lane.gone(request)
        request._outlet = None
        return True

    cdef int _shut(self) except -1:
        """Everything was read: what has been written goes out, then it is over."""
        self._forget()
        self._phase = CLOSING
        self._since = now()
        self._transport.close()
        return 0

    cdef int _linger(self) except -1:
        """Say that this was all; read until the client says so, too."""
        self._forget()
        self._phase = LINGERING
        self._since = self._heard = now()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        return 0

    cdef void _forget(self):
        if self._current is not None:
            self._current._outlet = None
        self._current = self._reading = None
        self._queue.clear()
        self._behind = 0

    cdef int _discard(self, Py_ssize_t size) except -1:
        self._discarded += size
        if self._phase == LINGERING:
            self._heard = now()
            if self._discarded > READ_AWAY:
                self._shut()
        elif self._phase == DEAF and self._discarded > BEHIND:
            self._leave()
            self._transport.abort()
        return 0

    def sweep(self, double at, *, double served, double fresh, double head, double stalled):
        """At this moment: close what has been idle for `served` seconds after a request, or `fresh` before the first;
        whose head takes longer than `head` (infinite: it is as idle as any other); who does not take the end of its answer in `stalled`."""
        if self._transport is None:
            return
        cdef double age = at - self._since
        cdef Request request = self._current
        if self._phase == CLOSING:
            if age >= stalled:
                self._transport.abort()
        elif self._phase == LINGERING or (request is not None and request._answered and not self._paused):
            if age >= LINGER or at - self._heard >= PAUSE:
                self._shut()
        elif request is not None:
            return
        elif self._in_head and head < INFINITY:
            if age >= head:
                self._refuse(LATE, "the head did not arrive in time")
                self._advance()
        elif age >= (served if self._served else fresh):
            self._shut()

    def abort(self):
        """Cut it, whatever goes on."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def busy(self):
        """Is a request being answered?"""
        return self._current is not None
