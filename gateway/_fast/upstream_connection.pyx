# cython: nonecheck=True
"""One HTTP/1.1 connection to a server we ask: one request at a time, its answer pushed as it arrives.

    connection = UpstreamConnection(loop)         # an asyncio protocol
    connection.send(head, body)                   # head: lines that end in CR LF, without content-length and blank line
    answer = await connection.head()              # UpstreamAnswer; raises AnswerLost, AnswerRefused
    await answer.push(feed)                       # feed(bytes) for each read; raises broken(reason) when it breaks off
    answer.close()                                # on every path: the connection is free again, or cut

llhttp reads (through httptools); response_head.pyx judges what it leaves to us; upstream_answer.pyx pushes. The rules:

- An answer's end is what its head says: a length, the last chunk, or the end of the connection if there is neither. It ended
  too early if the connection did. TLS without its closing alert counts as an end: many servers never send it, and what
  the body means is judged elsewhere.
- Interim answers (1xx) are passed over, 101 is refused; trailers and chunk extensions are ignored. All heads of an answer
  together have `HEAD_LARGEST` bytes, and so have the reads in a row that bring nothing of its body.
- A connection is free again if its answer came to its end and said nothing of closing, the request had left, and nothing
  has come that nobody asked for; but line ends that came in one read with the end are passed over, as llhttp does.
  Whatever else happened, it is cut.
- Whoever is cancelled waiting for the head closes the connection.
- The owner, if there is one, is told each thing once: `give` when the connection is free, `lost` when it is no more; both
  not before its answer is closed.

Not for several threads. No timers: whoever waits has a clock, and is cancelled by it. HEAD must not be asked: llhttp would
wait for the body that its answer only speaks of.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython cimport final
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy

from gateway._fast.response_head cimport ResponseHead
from gateway._fast.upstream_answer cimport AnswerSource, UpstreamAnswer
from gateway._fast.upstream_answer import AnswerBroken

from httptools import HttpResponseParser

cdef enum Limits:
    HEAD_LARGEST = 65536
    JOINED_MOST = 65536     # bytes of a request that are copied into one piece


class _Refused(Exception):
    """Stops the parser; the reason stands on the connection."""


@final
cdef class UpstreamConnection(AnswerSource):
    cdef object _owner, _transport, _write, _parser, _feed_data
    cdef UpstreamAnswer _answer
    cdef readonly bint usable       # connected, and nothing has come that nobody asked for
    cdef readonly bint reused       # it has brought an answer before
    cdef public double until        # the owner's: when it is too old to be used again
    cdef bint _owned, _paused, _keeps, _http_1_1, _interim
    cdef Py_ssize_t _received       # bytes of this answer's heads; then: of what is no body, in a row
    cdef str _refusal               # why a callback stopped the parser

    def __cinit__(self, loop not None, *, owner=None, broken=AnswerBroken):
        self.loop = loop
        self.broken = broken
        self._owner = owner

    # asking

    def send(self, bytes head not None, bytes body not None):
        """Write a request in one piece; `head` ends in CR LF and lacks the content-length and the blank line."""
        cdef UpstreamAnswer answer
        cdef Py_ssize_t head_size = PyBytes_GET_SIZE(head), size = PyBytes_GET_SIZE(body), line_size
        cdef char[64] line
        cdef bytes whole
        cdef char* at
        if not self.usable or self._answer is not None:
            raise RuntimeError("send() on a connection that is in use, or gone")
        answer = UpstreamAnswer.__new__(UpstreamAnswer)
        answer.source = self
        answer.head = ResponseHead.__new__(ResponseHead)
        self._answer = answer
        self._received = 0
        self._http_1_1 = self._keeps = self._interim = False
        line_size = snprintf(line, sizeof(line), "content-length: %zd\r\n\r\n", size)
        if size > JOINED_MOST:
            self._transport.writelines((head + line[:line_size], body))
            return
        whole = PyBytes_FromStringAndSize(NULL, head_size + line_size + size)
        at = PyBytes_AS_STRING(whole)
        memcpy(at, PyBytes_AS_STRING(head), <size_t> head_size)
        memcpy(at + head_size, line, <size_t> line_size)
        memcpy(at + head_size + line_size, PyBytes_AS_STRING(body), <size_t> size)
        self._write(whole)

    def head(self):
        """A future of the answer, whose head is here then."""
        if self._answer is None:
            raise RuntimeError("head() before send()")
        return self._answer.wait_for_head()

    def close(self):
        """An idle connection is closed, one in use is cut."""
        if self._answer is not None:
            self._answer.close()
        elif self.usable:
            self.usable = False
            self._transport.close()
            self._leave()

    # the transport's calls

    def connection_made(self, transport):
        self._transport = transport
        self._write = transport.write
        self._parser = HttpResponseParser(self)
        self._feed_data = self._parser.feed_data
        self.usable = self._owned = True

    def data_received(self, bytes data not None):
        cdef UpstreamAnswer answer = self._answer
        if answer is None:
            self._cut()         # nobody asked for it
            return
        if answer.quiet():
            self.usable = False
            return
        if answer.head_done:
            self._parse(answer, data)
            self._received = 0 if answer.ended or answer._part is not None else self._received + PyBytes_GET_SIZE(data)
            if self._received > HEAD_LARGEST:
                answer.fail("too much between its chunks", None)
        else:
            self._parse_head(answer, data)
        answer.tell()

    def eof_received(self):
        self._gone(None)

    def connection_lost(self, problem):
        self._gone(problem)
        self._transport = self._write = self._parser = self._feed_data = None

    def pause_writing(self):
        """A request waits in memory, whole, as it did before."""

    def resume_writing(self):
        """It has left."""

    # the parser's calls

    def on_message_begin(self):
        if self._answer.ended:
            self._refuse("bytes after its end")

    def on_header(self, bytes name not None, bytes value not None):
        cdef str refusal
        if self._answer.head_done:      # a trailer
            return
        refusal = self._answer.head.add(name, value)
        if refusal is not None:
            self._refuse(refusal)

    def on_headers_complete(self):
        cdef UpstreamAnswer answer = self._answer
        cdef int status = self._parser.get_status_code()
        cdef str refusal
        if not self._http_1_1:
            version = self._parser.get_http_version()
            self._http_1_1 = version == "1.1"
            if not self._http_1_1 and version != "1.0":
                self._refuse("another version than HTTP/1.1")
        if status == 101:
            self._refuse("a switch of protocols")
        self._interim = 100 <= status < 200
        if self._interim:
            return
        refusal = answer.head.judge(status, self._http_1_1)
        if refusal is not None:
            self._refuse(refusal)
        self._keeps = self._http_1_1 and self._parser.should_keep_alive()
        answer.head_done = True

    def on_body(self, bytes part not None):
        self._answer.keep(part)

    def on_message_complete(self):
        if self._interim:
            self._interim = self._http_1_1 = False
            self._answer.head = ResponseHead.__new__(ResponseHead)
        else:
            self._answer.ended = True

    cdef int _refuse(self, str reason) except -1:
        self._refusal = reason
        raise _Refused

    cdef int _parse(self, UpstreamAnswer answer, data) except -1:
        try:
            self._feed_data(data)
        except BaseException as problem:
            self.usable = False
            answer.fail(self._refusal or str(problem), problem)
        return 0

    cdef int _parse_head(self, UpstreamAnswer answer, bytes data) except -1:
        """A head comes to its end within so many bytes."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), room = HEAD_LARGEST - self._received
        if not answer.begun:
            answer.begun = True
            self._http_1_1 = size >= 9 and memcmp(PyBytes_AS_STRING(data), b"HTTP/1.1 ", 9) == 0
            if size and PyBytes_AS_STRING(data)[0] in b"RI":    # llhttp would read RTSP/ and ICE/, too
                answer.fail("another protocol than HTTP", None)
                return 0
        self._received += size
        self._parse(answer, data if size <= room else data[:room])
        if size > room and not answer.head_done:
            answer.fail("its head is too large", None)
        elif size > room and not answer.quiet():
            self._parse(answer, data[room:])
        elif size > room:
            self.usable = False     # its end is not the data's
        if answer.head_done:
            self._received = 0
        return 0

    # for the answer

    cdef int pause(self) except -1:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        return 0

    cdef int resume(self) except -1:
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()
        return 0

    cdef int leave_off(self, UpstreamAnswer answer) except -1:
        """Nobody wants more of this answer."""
        self._answer = None
        if not answer.quiet():
            answer.fail("it was closed", None)
            answer.tell()
        if not (self.usable and self._keeps and answer.ended) or self._transport.get_write_buffer_size():
            self._cut()
            return 0
        self.resume()
        self.reused = True
        if self._owner is not None:
            self._owner.give(self, answer.head.patience())
        return 0

    # its end

    cdef int _cut(self) except -1:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()
        return self._leave()

    cdef int _gone(self, problem) except -1:
        """The other side says nothing more."""
        cdef UpstreamAnswer answer = self._answer
        self.usable = False
        if answer is not None and not answer.quiet():
            if problem is None and answer.head_done and answer.head.until_close:
                answer.ended = True
            else:
                answer.lost = not answer.head_done
                answer.fail("the connection ended within it", problem)
            answer.tell()
        return self._leave() if answer is None else 0

    cdef int _leave(self) except -1:
        if self._owned:
            self._owned = False
            if self._owner is not None:
                self._owner.lost(self)
        return 0
