"""What one event of a stream means: content, an error, a finish marker, usage, the end. Framing is sse.pyx's.

An event's data is JSON, or the marker that ends the stream. JSON is checked and read by orjson (json_spans.parse); no
other Python object is made. Where to look is given by names, so the same code serves chat (`choices`, `delta`) and
plain completions (`choices`, no `delta`). The verdicts:
- an error before any content stops the stream, so that the caller can still fail over; after content it passes;
- an event whose data is no JSON is dropped, and the rest flows;
- the finish marker and the end marker count as content when nothing else came: an empty answer is an answer;
- usage is cumulative wherever it is repeated: the latest counts, nothing is added up.

`finished` means that every item seen has ended, and that `least` were seen: of two choices asked for, the second may
not have begun when the first ends. Indices are the upstream's word: the first 64 are bits, a bounded
number of others is followed by name, and what is no integer counts as 0. A stream with more is never finished.
"""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from cython cimport final

from gateway._fast.json_spans import parse as _parse

cdef object loads = _parse

cdef enum Limits:
    DENSE = 64
    RARE = 4096


@final
cdef class EventJudge:
    def __cinit__(self, *, str items not None, str delta, tuple content not None, str finish not None,
                  str usage not None, str error not None, bytes done not None, bint strip_usage, bint drop_malformed,
                  Py_ssize_t least):
        self._items, self._delta, self._content, self._finish = items, delta, content, finish
        self._usage, self._error, self._done = usage, error, done
        self._strip_usage, self._drop_malformed = strip_usage, drop_malformed
        self._rare = {}
        self._least = least

    cdef void let_pass(self) noexcept:
        """An event too long to be judged."""
        self.events += 1
        self.unjudged += 1
        self.content = True

    cdef int judge(self, bytes data, bint error_event) except -1:
        """The fate of a whole event; `error_event` says that its type is `error`."""
        if not data:
            return PASS
        if data == self._done:
            self.events += 1
            self.done = self.content = True
            return PASS
        try:
            value = loads(data)
        except ValueError:
            self.events += 1
            self.malformed += 1
            return DROP if self._drop_malformed else PASS
        self.events += 1
        return self._judge_value(value, data, error_event)

    cdef int judge_rest(self, bytes data, bint error_event) except -1:
        """The fate of the unfinished event at the end of the stream: if it is no JSON it was cut, not malformed."""
        if not data or data != self._done:
            try:
                loads(data)
            except ValueError:
                return DROP
        return self.judge(data, error_event)

    cdef int _judge_value(self, object value, bytes data, bint error_event) except -1:
        if type(value) is not dict:
            return PASS
        found = <dict> value
        usage = found.get(self._usage)
        if type(usage) is dict:
            self.usage = <dict> usage
        if error_event or found.get(self._error) or found.get("object") == "error":
            return self._judge_error(data)
        items = found.get(self._items)
        if type(items) is not list:
            return PASS
        for item in <list> items:
            if type(item) is dict:
                self._judge_item(<dict> item)
        if self._strip_usage and not <list> items and type(usage) is dict:
            self.removed += 1
            return DROP
        return PASS

    cdef int _judge_error(self, bytes data) except -1:
        if self.error is None:
            self.error = data
        return PASS if self.content else STOP

    cdef int _judge_item(self, dict item) except -1:
        cdef bint ended = bool(item.get(self._finish))
        if ended:
            self.content = True
        elif not self.content:
            holder = item if self._delta is None else item.get(self._delta)
            if type(holder) is dict:
                for key in self._content:
                    value = (<dict> holder).get(key)
                    if value and type(value) in (str, list, dict):
                        self.content = True
        return self._follow(item.get("index"), ended)

    cdef int _follow(self, object index, bint ended) except -1:
        cdef int overflow = 0
        cdef long long place = 0
        if type(index) is int:
            place = PyLong_AsLongLongAndOverflow(index, &overflow)
        if overflow == 0 and 0 <= place < DENSE:
            self._count += not (self._seen >> place) & 1
            self._seen |= <unsigned long long> 1 << place
            if ended:
                self._ended |= <unsigned long long> 1 << place
        elif index in self._rare:
            if ended and not self._rare[index]:
                self._rare[index] = True
                self._rare_open -= 1
        elif len(self._rare) < RARE:
            self._rare[index] = ended
            self._rare_open += not ended
            self._count += 1
        else:
            self._rare_open += 1
        self.finished = self._count >= self._least and self._seen == self._ended and self._rare_open == 0
        return 0
