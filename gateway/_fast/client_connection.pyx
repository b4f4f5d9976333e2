"""A client's connection: its requests are given to the lane, one after the other.

    bytes ─▶ ClientReader ─▶ queue ─▶ lane.begin(request) ─▶ answered ─▶ the next, or the end

Answers go out in order because a request begins when the answer before it has ended. Reading is never paused while one
runs, since a paused transport does not tell that its client has left; instead what may wait is bounded (`BEHIND`).
- Leaving is the client's end or reset, in every phase: `lane.gone(request)` is told of the request that runs, and
  those behind it are forgotten.
- What cannot be read as HTTP is refused when its turn has come: the requests before it are answered. Then nothing is
  read any more, and the connection ends.
- The end: closing at once, while the client sends, would reset the connection and lose the answer with it. So our side
  is shut, and what still comes is thrown away while it comes and within bounds (`PAUSE`, `LINGER`, `READ_AWAY`).
- No timers: `sweep`, once a second, is given the time and closes what took too long.

The lane, a Python object: `begin`, `gone`, `read`, `refusal`, `joined`, `left`, `leaving`, `heads`.
"""

import asyncio

from cpython.bytes cimport PyBytes_GET_SIZE
from cython cimport final
from libc.math cimport INFINITY

from gateway._fast.client_reader cimport CLOSING, DEAF, LINGERING, READING, ClientReader, now
from gateway._fast.client_request cimport Request
from gateway._fast.reply_head cimport LENGTH

cdef enum Bounds:
    BEHIND = 256 << 10  # bytes that may wait behind the request that is answered
    READ_AWAY = 64 << 20
    HIGH = 64 << 10  # a client that is behind by so much is waited for,
    LOW = 16 << 10  # until it is behind by no more than this

cdef double PAUSE = 1.0, LINGER = 10.0


@final
cdef class ClientConnection(ClientReader):
    cdef Request _current
    cdef Py_ssize_t _discarded
    cdef bint _served
    cdef double _heard

    def __cinit__(self, lane not None):
        self._lane = lane
        self._heads = lane.heads
        self._queue = []

    # the transport's events

    def connection_made(self, transport):
        self._loop = asyncio.get_running_loop()
        self._transport, self._put = transport, transport.write
        transport.set_write_buffer_limits(high=HIGH, low=LOW)
        name = transport.get_extra_info("peername")
        self.peer = None if name is None else str(name[0] if isinstance(name, (tuple, list)) else name)
        self.begin_reading()
        self._lane.joined(self)

    def data_received(self, bytes data not None):
        if self._phase != READING:
            self._discard(PyBytes_GET_SIZE(data))
            return
        if self._current is not None and self._current._answered:
            self._heard = now()
        self.read(data)
        self._advance()
        if self._behind > BEHIND and self._current is not None:
            self._leave()
            self._transport.abort()

    def eof_received(self):
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

    # whose turn it is

    cdef int _advance(self) except -1:
        """Begin what can begin."""
        cdef Request request = self._current
        if request is not None:
            if request._answered and request.complete:
                self.answered(request)
            return 0
        if self._queue:
            request = self._queue.pop(0)
            self._behind -= request.size()
            request._outlet = self
            request.peer = self.peer
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

    # the end

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
        """At this moment, close what has been idle for `served` seconds after a request, or `fresh` before the first;
        refuse a head that takes longer than `head` (infinite: its connection is as idle as any other); cut who does
        not take the end of its answer in `stalled`."""
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
                self.refuse("late", "the head did not arrive in time")
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
