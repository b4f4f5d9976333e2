"""One request of a client: its body to be read, its answer to be given. And the `Outlet`, a connection's writing side.

A `Request` is at once what contracts.py calls Body and Reply. What is here already is given without waiting, what
fits into the transport's buffer is written without waiting; only else a future is made.
- The body is kept as it arrives, up to `limit` bytes (set when its turn comes, and by `read`). Beyond, all of it
  is dropped and what still comes is counted only. A body in one piece is given as that piece, not copied. A large one
  of declared length is put together as it comes: so it is in memory once, not twice, and no join at its
  end has to find room for it (1 MiB in pieces of 64 KiB: 33 µs, joined 730). Room that was not used is no memory yet.
- `read` answers by itself for a plain body that is complete; everything else (waiting, clocks, decoding, refusals) is
  the lane's, `lane.read(request, limit)`, which waits for `arrival()` and takes `pieces()`.
- A client that waits for ``100 Continue`` gets it when the body is wanted and not here yet.
- The head of an answer waits for its first bytes, both leave in one write. A chunk is one object, one write; pieces
  from `LARGE` on are not copied, uvloop gathers what is written in one turn of the loop into one system call anyway.
- An answer asks for another connection if the client does, if this process is leaving (`lane.leaving`), or if more
  than `LITTLE` of the body is unread: only behind it begins the next request.
- When its answer has ended a request no longer knows its connection: nothing that is done to it later, such as a
  cancellation, can touch the next one, and no cycle keeps its memory.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython cimport final, freelist
from libc.string cimport memcpy

from gateway._fast.reply_head cimport BODILESS, CHUNKED, LENGTH, TO_THE_END, ReplyHeads, chunk
from gateway._fast.request_head cimport RequestHead

cdef enum Sizes:
    LITTLE = 64 << 10
    LARGE = 32 << 10
    GATHERED = 128 << 10


cdef class Outlet:
    """How a connection sends, and whether its client takes it."""

    def pause_writing(self):
        self._paused = True

    def resume_writing(self):
        self._paused = False
        self.wake(False)

    cdef object room(self):
        """None, or what to wait for until the client has taken most of what it was sent."""
        if not self._paused:
            return None
        cdef object taken = self._loop.create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(taken)
        return taken

    cdef int wake(self, bint lost) except -1:
        cdef list waiting = self._waiting
        self._waiting = None
        for taken in waiting or ():
            if taken.done():
                continue
            if lost:
                taken.set_exception(ConnectionResetError("the client has left"))
            else:
                taken.set_result(None)
        return 0

    cdef int answered(self, Request request) except -1:
        """Its answer has been given to the transport."""
        raise NotImplementedError


@final
@freelist(64)
cdef class Request:
    def __cinit__(self):
        self.headers = RequestHead.__new__(RequestHead)
        self._left = -1
        self.limit = -1

    @property
    def method(self):
        return self.headers.method

    @property
    def target(self):
        return self.headers.target

    @property
    def path(self):
        return self.headers.path

    @property
    def version(self):
        return (1, self.headers.minor)

    # the body

    def read(self, long long limit):
        """The whole body, or what to wait for to get it."""
        self.limit = limit
        if self.complete and not self.headers.encoded and self._received <= limit and self._outlet is not None:
            return self.pieces()
        return self._present()._lane.read(self, limit)

    def pieces(self):
        """What has arrived and was not taken yet."""
        cdef list parts = self._parts
        cdef bytes whole = self._whole
        cdef Py_ssize_t filled = self._filled
        self._parts = self._whole = None
        self._filled = 0
        if whole is not None:  # never more of it than was written
            return whole if filled == PyBytes_GET_SIZE(whole) else whole[:filled]
        if parts is None:
            return b""
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def arrival(self, *, bint each=False):
        """None if all is here or nothing more will be, else a future: for the end, or for `each` piece."""
        if self._received > self.limit:
            self.over()
        if self.complete or self.oversized or self.broken is not None or self.gone:
            return None
        if self._withheld:
            self._withheld = False
            self._present()._put(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._each = each
        self._arrival = self._present()._loop.create_future()
        return self._arrival

    cdef int part(self, bytes data) except -1:
        """More of the body."""
        self._received += PyBytes_GET_SIZE(data)
        self._withheld = False  # it did not wait
        if self.oversized or self._answered:
            return 0
        if 0 <= self.limit < self._received:
            return self.over()
        if self._whole is not None or self._gathers():
            return self._fill(data)
        if self._parts is None:
            self._parts = [data]
        else:
            self._parts.append(data)
        if self._each:
            self._arrived()
        return 0

    cdef bint _gathers(self) except -1:
        """Is it worth to have all of it in one place from now on? Then what is here already is put there."""
        cdef long long length = self.headers.content_length
        if length < GATHERED or length > self.limit or self.headers.encoded:
            return False
        self._whole = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> length)
        for part in self._parts or ():
            self._fill(part)
        self._parts = None
        return True

    cdef int _fill(self, bytes data) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if size > PyBytes_GET_SIZE(self._whole) - self._filled:
            return self.over()
        memcpy(PyBytes_AS_STRING(self._whole) + self._filled, PyBytes_AS_STRING(data), <size_t> size)
        self._filled += size
        return 0

    cdef int over(self) except -1:
        self.oversized = True
        self._parts = self._whole = None
        return self._arrived()

    cdef int breaks(self, str reason) except -1:
        """The rest of it cannot be read."""
        self.broken = reason
        return self._arrived()

    cdef int _arrived(self) except -1:
        cdef object arrival = self._arrival
        self._arrival = None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)
        return 0

    def ends(self):
        """The body is complete."""
        self.complete = True
        self._arrived()

    cdef Py_ssize_t size(self) noexcept:
        """What it takes while it waits for its turn."""
        return <Py_ssize_t> self._received + self.headers._size + 256

    cdef bint unread(self) noexcept:
        """Is too much of the body unread to wait for the next request behind it?"""
        if self.complete:
            return False
        return (self._withheld or self.late or self.broken is not None or self.headers.chunked
                or self.headers.content_length - self._received > LITTLE)

    # the answer

    def send(self, int status, headers not None, bytes body not None):
        """The whole answer."""
        cdef Outlet outlet = self._present()
        cdef bint bare = status < 200 or status == 204 or status == 304
        cdef bint large = PyBytes_GET_SIZE(body) >= LARGE
        cdef bytes with_it = b"" if bare or large or self.headers.method == "HEAD" else body
        cdef bytes head = outlet._heads.render(status, headers, self.headers.minor, self._ending(outlet),
                                               BODILESS if bare else LENGTH, PyBytes_GET_SIZE(body), with_it)
        self.started = True
        outlet._put(head)
        if large and not bare and self.headers.method != "HEAD":
            outlet._put(body)
        return self._end(outlet)

    def begin(self, int status, headers not None):
        """The head; it waits for what follows."""
        cdef Outlet outlet = self._present()
        length = headers.get("content-length")
        if length is not None:
            self._framing, self._left = LENGTH, int(length)
        elif status < 200 or status == 204 or status == 304:
            self._framing = BODILESS
        elif self.headers.minor == 1:
            self._framing = CHUNKED
        else:
            self._framing, self._closing = TO_THE_END, True
        self._held = outlet._heads.render(status, headers, self.headers.minor, self._ending(outlet), self._framing,
                                          -1, b"")
        self.started = True
        if self.headers.method == "HEAD":
            self._framing = BODILESS

    def write(self, bytes data not None):
        """A piece of the body; what to wait for if the client is behind."""
        cdef Outlet outlet = self._present()
        cdef bytes held = self._held
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        self._held = None
        if self._framing == CHUNKED and size < LARGE:
            data = chunk(held, data)
            held = None
        elif self._framing == CHUNKED:
            held = (held or b"") + b"%x\r\n" % size
        elif self._framing == BODILESS:
            data = b""
        elif self._framing == LENGTH:
            if size > self._left:
                raise ValueError("more than the content-length said")
            self._left -= size
        if held is not None and PyBytes_GET_SIZE(data) < LARGE:
            data, held = held + data, None
        if held is not None:
            outlet._put(held)
        if data:
            outlet._put(data)
        if self._framing == CHUNKED and size >= LARGE:
            outlet._put(b"\r\n")
        return outlet.room() if outlet._paused else None

    def end(self):
        """The body is complete."""
        cdef Outlet outlet = self._present()
        cdef bytes last = self._held
        self._held = None
        if self._framing == CHUNKED:
            last = (last or b"") + b"0\r\n\r\n"
        if last:
            outlet._put(last)
        if self._framing == LENGTH and self._left > 0:
            self._closing = True  # only the end of the connection tells that this is not all
        return self._end(outlet)

    def abort(self):
        """Cut the connection."""
        if self._outlet is not None and self._outlet._transport is not None:
            self.gone = True
            self._outlet._transport.abort()

    def close(self):
        """Whoever answers is done; what has no end then, never will."""
        self.task = None
        if not self._answered:
            self.abort()

    cdef object _end(self, Outlet outlet):
        cdef object waiting = outlet.room()
        self._answered = True
        self._parts = self._whole = None
        outlet.answered(self)
        return waiting

    cdef int _ending(self, Outlet outlet) except -1:
        """What the head says of the connection: nothing, 1 close, 2 keep-alive."""
        if self._closing or self.headers.closes or self.unread() or outlet._lane.leaving:
            self._closing = True
            return 1
        return 0 if self.headers.minor == 1 else 2

    cdef int leaves(self) except -1:
        """The client has left, in the middle of it."""
        self.gone = True
        return self._arrived()

    cdef Outlet _present(self):
        if self._answered:
            raise RuntimeError("its answer has ended")
        if self._outlet is None or self.gone or self._outlet._put is None:
            raise ConnectionResetError("the client has left")
        return self._outlet
