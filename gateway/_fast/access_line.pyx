"""A line of the access log, built in one pass: what is known about a request, as JSON.

The rules (what the fields mean stands in telemetry/access_log.py):

* A field that is None is left out. Times in milliseconds have three decimals at most, and one at least.
* No query string is written (some clients put a key there). Text that a client chose is cut, so that a line mostly fits
  into one indivisible write to a pipe.
* A line is a line: JSON escapes what could end it. A lone surrogate, which no JSON has, becomes a question mark.

Why compiled: a dict of 25 names, given to a JSON library, cost 11 µs a request; this costs 1.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cython cimport final
from libc.math cimport floor, isfinite
from libc.string cimport memcpy
from libc.time cimport gmtime_r, strftime, time_t, tm

from gateway._fast.buffer cimport Buffer, append, release, take

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum Longest:
    METHOD = 32
    PATH = 512
    MODEL = 200
    USER_AGENT = 200
    ANY = 1000

cdef const char* HEX = "0123456789abcdef"
cdef char last_text[32]
cdef long long last_second = -1


cdef int put(Buffer* line, bytes text) except -1:
    return append(line, <const char*> text, len(text))


cdef int put_escaped(Buffer* line, const char* text, Py_ssize_t size) except -1:
    """The inside of a JSON string."""
    cdef Py_ssize_t at, run = 0
    cdef unsigned char byte
    cdef char code[6]
    memcpy(code, b"\\u00", 4)
    for at in range(size):
        byte = <unsigned char> text[at]
        if byte >= 0x20 and byte != c'"' and byte != c"\\":
            continue
        append(line, text + run, at - run)
        run = at + 1
        if byte == c'"':
            append(line, b'\\"', 2)
        elif byte == c"\\":
            append(line, b"\\\\", 2)
        elif byte == c"\n":
            append(line, b"\\n", 2)
        elif byte == c"\r":
            append(line, b"\\r", 2)
        elif byte == c"\t":
            append(line, b"\\t", 2)
        elif byte == 8:
            append(line, b"\\b", 2)
        elif byte == 12:
            append(line, b"\\f", 2)
        else:
            code[4], code[5] = HEX[byte >> 4], HEX[byte & 15]
            append(line, code, 6)
    return append(line, text + run, size - run)


cdef int put_text(Buffer* line, bytes name, str text, Py_ssize_t longest) except -1:
    """A member, if there is a text; `name` with its quotes, colon and the comma before it."""
    cdef Py_ssize_t size
    cdef const char* raw
    if text is None:
        return 0
    if len(text) > longest:
        text = text[:longest]
    try:
        raw = PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode()
        raw = PyUnicode_AsUTF8AndSize(text, &size)
    put(line, name)
    append(line, b'"', 1)
    put_escaped(line, raw, size)
    return append(line, b'"', 1)


cdef int put_digits(Buffer* line, unsigned long long number, int least=1) except -1:
    cdef char digits[20]
    cdef int at = 20
    while number or 20 - at < least:
        at -= 1
        digits[at] = <char> (48 + number % 10)
        number //= 10
    return append(line, digits + at, 20 - at)


cdef int put_integer(Buffer* line, bytes name, object number) except -1:
    cdef long long value
    if number is None:
        return 0
    value = number
    put(line, name)
    if value < 0:
        append(line, b"-", 1)
        return put_digits(line, 0 - <unsigned long long> value)
    return put_digits(line, <unsigned long long> value)


cdef int put_milliseconds(Buffer* line, bytes name, object number) except -1:
    cdef double value
    cdef unsigned long long thousandths
    cdef int rest, least = 3
    if number is None:
        return 0
    value = number
    put(line, name)
    if not isfinite(value) or not -1e15 < value < 1e15:
        return append(line, b"null", 4)
    if value < 0:
        append(line, b"-", 1)
        value = -value
    thousandths = <unsigned long long> floor(value * 1000 + 0.5)
    put_digits(line, thousandths // 1000)
    append(line, b".", 1)
    rest = <int> (thousandths % 1000)
    while least > 1 and rest % 10 == 0:
        rest //= 10
        least -= 1
    return put_digits(line, rest, least)


cdef int put_moment(Buffer* line, double seconds) except -1:
    """RFC 3339 in UTC with three decimals."""
    global last_second
    cdef long long milliseconds = <long long> (seconds * 1000)
    cdef long long second = milliseconds // 1000
    cdef time_t moment = <time_t> second
    cdef tm parts
    if second != last_second:
        gmtime_r(&moment, &parts)
        strftime(last_text, 32, "%Y-%m-%dT%H:%M:%S.", &parts)
        last_second = second
    append(line, last_text, 20)
    put_digits(line, <unsigned long long> (milliseconds % 1000), 3)
    return append(line, b"Z", 1)


@final
cdef class AccessRecord:
    """What is known about a request when it is over."""

    cdef public double ts
    cdef public str request_id, correlation_id, client, method, path, model, provider, upstream_model
    cdef public str error_code, error_type, ended_by, user_agent
    cdef public object status, attempts, stream, ttft_ms, duration_ms, overhead_ms
    cdef public object input_tokens, output_tokens, cached_tokens, bytes_in, bytes_out

    def __cinit__(self, *, double ts, str request_id not None, str method not None, str path not None,
                  str correlation_id=None, str client=None, status=None, str model=None, str provider=None,
                  str upstream_model=None, attempts=None, stream=None, ttft_ms=None, duration_ms=None,
                  overhead_ms=None, input_tokens=None, output_tokens=None, cached_tokens=None, bytes_in=None,
                  bytes_out=None, str error_code=None, str error_type=None, str ended_by=None, str user_agent=None):
        self.ts, self.request_id, self.correlation_id, self.client = ts, request_id, correlation_id, client
        self.method, self.path, self.status, self.model, self.provider = method, path, status, model, provider
        self.upstream_model, self.attempts, self.stream = upstream_model, attempts, stream
        self.ttft_ms, self.duration_ms, self.overhead_ms = ttft_ms, duration_ms, overhead_ms
        self.input_tokens, self.output_tokens, self.cached_tokens = input_tokens, output_tokens, cached_tokens
        self.bytes_in, self.bytes_out, self.error_code = bytes_in, bytes_out, error_code
        self.error_type, self.ended_by, self.user_agent = error_type, ended_by, user_agent

    def line(self):
        """The record as one line of JSON, its newline at the end."""
        cdef Buffer line
        line.start = NULL
        line.size = line.room = 0
        try:
            self._write(&line)
            return take(&line)
        except BaseException:
            release(&line)
            raise

    cdef int _write(self, Buffer* line) except -1:
        put(line, b'{"ts":"')
        put_moment(line, self.ts)
        put_text(line, b'","request_id":', self.request_id, ANY)
        put_text(line, b',"correlation_id":', self.correlation_id, ANY)
        put_text(line, b',"client":', self.client, ANY)
        put_text(line, b',"method":', self.method, METHOD)
        put_text(line, b',"path":', self.path.partition("?")[0], PATH)
        put_integer(line, b',"status":', self.status)
        put_text(line, b',"model":', self.model, MODEL)
        put_text(line, b',"provider":', self.provider, ANY)
        put_text(line, b',"upstream_model":', self.upstream_model, ANY)
        if self.attempts is not None:
            self._write_attempts(line)
        if self.stream is not None:
            put(line, b',"stream":true' if self.stream else b',"stream":false')
        put_milliseconds(line, b',"ttft_ms":', self.ttft_ms)
        put_milliseconds(line, b',"duration_ms":', self.duration_ms)
        put_milliseconds(line, b',"overhead_ms":', self.overhead_ms)
        put_integer(line, b',"input_tokens":', self.input_tokens)
        put_integer(line, b',"output_tokens":', self.output_tokens)
        put_integer(line, b',"cached_tokens":', self.cached_tokens)
        put_integer(line, b',"bytes_in":', self.bytes_in)
        put_integer(line, b',"bytes_out":', self.bytes_out)
        put_text(line, b',"error_code":', self.error_code, ANY)
        put_text(line, b',"error_type":', self.error_type, ANY)
        put_text(line, b',"ended_by":', self.ended_by, ANY)
        put_text(line, b',"user_agent":', self.user_agent, USER_AGENT)
        return put(line, b"}\n")

    cdef int _write_attempts(self, Buffer* line) except -1:
        cdef bytes before = b',"attempts":[{"provider":'
        for provider, model, outcome, status, milliseconds in self.attempts:
            put_text(line, before, provider, ANY)
            put_text(line, b',"model":', model, ANY)
            put_text(line, b',"outcome":', outcome, ANY)
            put(line, b',"status":null') if status is None else put_integer(line, b',"status":', status)
            put_milliseconds(line, b',"ms":', milliseconds)
            before = b'},{"provider":'
        return put(line, b'}]' if self.attempts else b',"attempts":[]')
