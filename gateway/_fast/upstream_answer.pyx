# cython: nonecheck=True
"""One answer on its way: its head, and its body pushed part by part. No I/O: an `AnswerSource` brings it.

- `feed` is called when the source says that a read is over (`tell`), with all that the read brought of the body: no task
  wakes for a part. If it gives something to wait for, the source is paused, the pushing coroutine waits for it, gives what
  had come meanwhile and lets the source go on. What `feed` raises ends the push with it.
- Before anybody pushes, `HELD_MOST` bytes may wait; then the source is paused.
- A part of the body that came with a mistake behind it is given out before the mistake is told: what an answer was must not
  depend on how it was cut.
- Whoever is cancelled waiting leaves nothing behind that was to be awaited; the answer is still theirs to close.

An answer is `ended`, or has a `failure`, or neither yet; never both. `lost`: the connection ended before the head did.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cython cimport final, freelist

from gateway._fast.response_head cimport ResponseHead

cdef enum Limits:
    HELD_MOST = 65536


class AnswerLost(Exception):
    """The connection ended before the answer's head was complete; `begun`: a part of it had come."""

    def __init__(self, begun, cause=None):
        super().__init__("the connection ended before the answer")
        self.begun = begun
        self.__cause__ = cause


class AnswerRefused(Exception):
    """What came is no answer in HTTP/1.1 as we read it."""


class AnswerBroken(Exception):
    """The answer ended before its end, or its framing is broken."""


cdef class AnswerSource:
    """What an answer asks of whoever brings it."""

    cdef int pause(self) except -1:
        return 0

    cdef int resume(self) except -1:
        return 0

    cdef int leave_off(self, UpstreamAnswer answer) except -1:
        return 0


@final
@freelist(64)
cdef class UpstreamAnswer:
    @property
    def status(self):
        return self.head.status

    @property
    def headers(self):
        """Names in lower case."""
        return self.head.headers()

    @property
    def encoding(self):
        """How the body is encoded; empty if it is not."""
        return self.head.encoding()

    async def push(self, feed):
        """Give the body to `feed` part by part, and return at its end."""
        cdef AnswerSource source = self.source
        if source is None:
            raise RuntimeError("push() after close()")
        while True:
            if self._part is not None:
                pending = feed(self._take())
            elif self.ended:
                return
            elif self.failure is not None:
                raise source.broken(self.failure) from self.cause
            else:
                source.resume()
                self._feed = feed
                self._waiter = source.loop.create_future()
                try:
                    await self._waiter
                except BaseException:
                    self._give_up()
                    raise
                if self._raised is not None:
                    raised, self._raised = self._raised, None
                    raise raised
                pending, self._pending = self._pending, None
            if pending is not None:
                source.pause()
                await pending

    def close(self):
        """The connection is free again if the answer has ended, else it is cut. Twice does no harm."""
        cdef AnswerSource source = self.source
        if source is not None:
            self.source = None
            source.leave_off(self)

    # for the source

    cdef int keep(self, bytes part) except -1:
        """A part of the body has come."""
        if self._part is None:
            self._part = part
        elif self._parts is None:
            self._parts = [self._part, part]
        else:
            self._parts.append(part)
        self._held += PyBytes_GET_SIZE(part)
        return 0

    cdef int fail(self, str failure, cause) except -1:
        if not self.ended and self.failure is None:
            self.failure = failure
            self.cause = cause
        return 0

    cdef bint quiet(self) noexcept:
        """Nothing more is expected of it."""
        return self.ended or self.failure is not None

    cdef object wait_for_head(self):
        waiter = self._waiter = self.source.loop.create_future()
        self.tell()
        return waiter

    cdef int tell(self) except -1:
        """Something came, or it is over: tell whoever waits."""
        if self._feed is not None:
            self._pour()
        elif self._waiter is not None:
            if self.head_done or self.failure is not None:
                self._tell_head()
        elif self._held > HELD_MOST and self.source is not None:
            self.source.pause()
        return 0

    # within

    cdef bytes _take(self):
        """All of the body that waits."""
        cdef bytes data = self._part
        if self._parts is not None:
            data = b"".join(self._parts)
            self._parts = None
        self._part = None
        self._held = 0
        return data

    cdef int _give_up(self) except -1:
        """Nobody waits any more, neither for a part nor for what a part was answered with."""
        self._feed = self._waiter = None
        pending, self._pending = self._pending, None
        if pending is not None and hasattr(pending, "close"):
            pending.close()
        return 0

    cdef int _tell_head(self) except -1:
        waiter, self._waiter = self._waiter, None
        if waiter.done():
            return 0
        if self.head_done:
            waiter.set_result(self)
            return 0
        if self.lost:
            waiter.set_exception(AnswerLost(self.begun, self.cause))
        else:
            waiter.set_exception(AnswerRefused(self.failure))
        waiter.exception()      # heard: whoever is cancelled at this moment does not ask
        return 0

    cdef int _pour(self) except -1:
        if self._part is not None:
            try:
                self._pending = self._feed(self._take())
            except BaseException as problem:
                self._raised = problem
        if self._pending is not None:
            if self.source is not None:
                self.source.pause()
        elif self._raised is None and not self.quiet():
            return 0
        waiter, self._waiter = self._waiter, None
        self._feed = None
        if waiter is not None and not waiter.done():    # None: feed closed the answer
            waiter.set_result(None)
        return 0
