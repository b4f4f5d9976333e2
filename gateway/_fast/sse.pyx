"""The scanner of a server-sent event stream: which bytes may go out now, and what has passed.

Bytes go out unchanged and only as whole events; an unfinished one is held back, so that an event can still be taken out
(the usage event we asked for, a malformed one) and nobody writes a comment into the middle of one.

Framing is the WHATWG event stream on bytes: lines end in LF, CR or CR LF, a blank line ends the event. A blank line's
CR ends the event at once; an LF that follows belongs to it and shares its fate, even when it arrives later.
Every byte is looked at once: a line is read when its end is found, the search goes on where it stopped, and the next LF
and the next CR are remembered apart, so that a stream without one of them is not searched again for every line.

What is decided must not depend on how the bytes were split. So the size of an event is counted up to the first byte of
its last line end: up to `event_hold` it is judged; above, it passes unjudged, whether it came in one piece or in a
thousand, and counts as content.

Between two feeds `_hold` has the unfinished event from its first byte, and all offsets kept are relative to that. While
an unjudged event is `_passing`, nothing is held and `_line` is -1 if its current line has begun. Nothing but want of
memory makes this fail. Not for several threads at once. What an event means is judge.pyx's affair.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython cimport final
from libc.string cimport memchr, memcmp

from gateway._fast.buffer cimport Buffer, append, drop_first, release, take, trim
from gateway._fast.judge cimport DROP, PASS, STOP, EventJudge

cdef enum LineEnd:
    LF
    CR
    CRLF

cdef enum Limits:
    SMALLEST_HOLD = 4       # a byte order mark and a line end
    IDLE_ROOM = 4096        # what a waiting stream may keep of its buffer


cdef inline Py_ssize_t find(const char* text, Py_ssize_t at, Py_ssize_t size, int byte) noexcept nogil:
    """Where `byte` is next, or `size`."""
    cdef const char* found = <const char*> memchr(text + at, byte, <size_t> (size - at))
    return size if found == NULL else found - text


cdef inline bint starts(const char* text, Py_ssize_t at, Py_ssize_t stop, const char* word,
                        Py_ssize_t length) noexcept nogil:
    return stop - at >= length and memcmp(text + at, word, <size_t> length) == 0


cdef inline Py_ssize_t value_at(const char* text, Py_ssize_t at, Py_ssize_t stop) noexcept nogil:
    """Where the value of the field starts whose name ends at `at`, less one space; -1 if the name goes on."""
    if at == stop:
        return stop
    if text[at] != c":":
        return -1
    at += 1
    return at + 1 if at < stop and text[at] == c" " else at


@final
cdef class SseScanner:
    cdef EventJudge _judge
    cdef Py_ssize_t _event_hold
    cdef Buffer _hold       # the unfinished event
    cdef Buffer _out        # what goes out of a feed from which something is taken out
    # offsets: where the unfinished event and its current line start, and the bytes not yet in _out
    cdef Py_ssize_t _event, _line, _run
    # the unfinished event so far: its data lines, relative to its start, and whether its type is `error`
    cdef Py_ssize_t _data_lines, _first_data, _data_start, _data_end
    cdef bint _error_event
    # the stream so far
    cdef LineEnd _line_end
    cdef bint _past_first_line, _passing, _after_cr, _dropped, _stopped, _closed

    def __cinit__(self, *, str items not None="choices", str delta="delta", tuple content not None,
                  str finish not None="finish_reason", str usage not None="usage", str error not None="error",
                  bytes done not None=b"[DONE]", bint strip_usage=False, bint drop_malformed=True,
                  Py_ssize_t event_hold=65536, Py_ssize_t least=1):
        if event_hold < SMALLEST_HOLD:
            raise ValueError(f"event_hold is {event_hold}; it must be at least {<int> SMALLEST_HOLD}")
        self._event_hold = event_hold
        self._judge = EventJudge(items=items, delta=delta, content=content, finish=finish, usage=usage, error=error,
                                 done=done, strip_usage=strip_usage, drop_malformed=drop_malformed, least=least)

    def __dealloc__(self):
        release(&self._hold)
        release(&self._out)

    def feed(self, bytes data not None, /):
        """Take what arrived and return what may go out."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), held = self._hold.size
        if self._closed:
            raise ValueError("feed() after close()")
        if size == 0 or self._stopped:
            return b""
        if held == 0:
            return self._scan(PyBytes_AS_STRING(data), size, 0, data)
        append(&self._hold, PyBytes_AS_STRING(data), size)
        return self._scan(self._hold.start, held + size, held, None)

    def close(self):
        """End of stream: judge the unfinished event, and return it completed if it is whole."""
        cdef Py_ssize_t size = self._hold.size
        cdef bint in_line = self._line != size
        cdef bytes missing = self._line_ends(2 if in_line else 1)
        if self._closed or self._stopped:
            self._closed = True
            return b""
        self._closed = True
        if self._passing:       # whole or cut, most of it is gone: what is written next must not run into it
            self._passing = False
            return missing
        if size == 0:
            return b""
        if in_line:
            self._event = 0
            self._end_of_line(self._hold.start, self._past_mark(self._hold.start, self._line, size), size)
        if self._data_lines and self._judge.judge_rest(self._data(self._hold.start, size), self._error_event) != PASS:
            release(&self._hold)
            return b""
        return take(&self._hold) + missing

    # framing

    cdef bytes _scan(self, const char* text, Py_ssize_t size, Py_ssize_t at, bytes whole):
        """Find the events in `text`, of which [0, at) was searched before; `whole` is the object it is in, or None."""
        cdef Py_ssize_t lf = -1, cr = -1, stop, after
        self._event = self._run = 0
        if self._after_cr and text[at] == c"\n":
            at = self._join_line_end(at)
        self._after_cr = False
        while True:
            if lf < at:
                lf = find(text, at, size, c"\n")
            if cr < at:
                cr = find(text, at, size, c"\r")
            stop = lf if lf < cr else cr
            if stop == size:
                break
            after = self._past_line_end(text, stop, size)
            self._line = self._past_mark(text, self._line, stop)
            if self._line < stop:
                if not self._passing:
                    self._end_of_line(text, self._line, stop)
            elif self._end_of_event(text, stop, after) == STOP:
                return self._stop()
            at = self._line = after
        return self._end_of_feed(text, size, whole)

    cdef Py_ssize_t _join_line_end(self, Py_ssize_t at) noexcept:
        """The LF at `at` follows a CR that ended the feed before: the last event's, or the unfinished one's."""
        self._line_end = CRLF
        self._line = at + 1
        if at == 0 and not self._passing:
            self._event = 1
            self._run = 1 if self._dropped else 0
        return at + 1

    cdef inline Py_ssize_t _past_line_end(self, const char* text, Py_ssize_t stop, Py_ssize_t size) noexcept:
        if text[stop] == c"\n":
            self._line_end = LF
            return stop + 1
        if stop + 1 < size and text[stop + 1] == c"\n":
            self._line_end = CRLF
            return stop + 2
        self._line_end = CR
        self._after_cr = stop + 1 == size
        return stop + 1

    cdef inline Py_ssize_t _past_mark(self, const char* text, Py_ssize_t line, Py_ssize_t stop) noexcept:
        """Where the line starts, less the byte order mark that the first line of a stream may have."""
        if self._past_first_line:
            return line
        self._past_first_line = True
        return 3 if line == 0 and starts(text, 0, stop, b"\xef\xbb\xbf", 3) else line

    cdef void _end_of_line(self, const char* text, Py_ssize_t line, Py_ssize_t stop) noexcept:
        """Note a data line or the event's type; comments and the other fields mean nothing here."""
        cdef Py_ssize_t value
        if starts(text, line, stop, b"data", 4):
            value = value_at(text, line + 4, stop)
            if value >= 0:
                if self._data_lines == 0:
                    self._first_data = line - self._event
                self._data_lines += 1
                self._data_start, self._data_end = value - self._event, stop - self._event
        elif starts(text, line, stop, b"event", 5):
            value = value_at(text, line + 5, stop)
            if value >= 0:
                self._error_event = stop - value == 5 and starts(text, value, stop, b"error", 5)

    cdef int _end_of_event(self, const char* text, Py_ssize_t stop, Py_ssize_t after) except -1:
        """Decide on the event whose blank line ends at `stop` (its first byte) and before `after`."""
        cdef int fate = PASS
        if self._passing:
            self._passing = False
        elif stop + 1 - self._event > self._event_hold:
            self._judge.let_pass()
        elif self._data_lines:
            fate = self._judge.judge(self._data(text + self._event, stop - self._event), self._error_event)
        if fate != PASS:
            append(&self._out, text + self._run, self._event - self._run)
            self._run = after
        self._dropped = fate == DROP
        self._event = after
        self._data_lines = 0
        self._error_event = False
        return fate

    cdef bytes _data(self, const char* event, Py_ssize_t size):
        """The values of the data lines, joined by LF."""
        if self._data_lines == 1:
            return PyBytes_FromStringAndSize(event + self._data_start, self._data_end - self._data_start)
        values = []
        for line in event[self._first_data:size].splitlines():
            if line.startswith(b"data:"):
                values.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line == b"data":
                values.append(b"")
        return b"\n".join(values)

    # bytes

    cdef bytes _end_of_feed(self, const char* text, Py_ssize_t size, bytes whole):
        cdef bytes out
        if not self._passing and size - self._event > self._event_hold:
            self._passing = True
            self._judge.let_pass()
        if self._passing:
            self._event = size
            self._line = -1 if self._line < size else 0
        else:
            self._line -= self._event
        if self._out.start != NULL:
            append(&self._out, text + self._run, self._event - self._run)
            out = take(&self._out)
        elif whole is not None and self._run == 0 and self._event == size:
            return whole
        else:
            out = PyBytes_FromStringAndSize(text + self._run, self._event - self._run)
        if whole is None:
            drop_first(&self._hold, self._event)
        else:
            append(&self._hold, text + self._event, size - self._event)
        trim(&self._hold, IDLE_ROOM)
        return out

    cdef bytes _stop(self):
        """What came before the error goes out, and nothing after it."""
        self._stopped = True
        release(&self._hold)
        return take(&self._out)

    cdef bytes _line_ends(self, Py_ssize_t count):
        if self._line_end == CRLF:
            return b"\r\n" * count
        return (b"\r" if self._line_end == CR else b"\n") * count

    # what has passed

    @property
    def boundary(self):
        """Everything returned so far ends between two events."""
        return not self._passing

    @property
    def held(self):
        """How many bytes are held back."""
        return self._hold.size

    @property
    def content(self):
        """Content has passed, or an event too long to be judged."""
        return self._judge.content

    @property
    def finished(self):
        """Every item seen has brought its finish reason, and there were at least `least`."""
        return self._judge.finished

    @property
    def done(self):
        """The marker that ends the stream has passed."""
        return self._judge.done

    @property
    def error(self):
        """The data of the first in-band error."""
        return self._judge.error

    @property
    def usage(self):
        """The latest usage."""
        return self._judge.usage

    @property
    def events(self):
        """How many events with data came, whatever became of them."""
        return self._judge.events

    @property
    def malformed(self):
        """How many of them had data that is no JSON."""
        return self._judge.malformed

    @property
    def unjudged(self):
        """How many were longer than event_hold."""
        return self._judge.unjudged

    @property
    def removed(self):
        """How many usage events were taken out."""
        return self._judge.removed
