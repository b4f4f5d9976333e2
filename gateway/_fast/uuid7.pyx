"""Strictly rising UUIDv7s (RFC 9562 §5.7): 48 bits of milliseconds, then 74 random bits.

Within one millisecond, and when the clock steps back, the next id is the last one plus a random step, so the ids of a
process rise strictly. A forked child forgets the last id and the random bytes it inherited; otherwise siblings would give
out the same ids. The random bits are the system's, taken in blocks. Use it from one thread.
"""

import os

from cython cimport final
from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cdef enum:
    BLOCK = 4096        # bytes of the system's entropy taken at once

cdef const char* HEX = "0123456789abcdef"
cdef object urandom = os.urandom


cdef inline void put_hex(char* text, uint64_t bits, int digits) noexcept:
    while digits:
        digits -= 1
        text[digits] = HEX[bits & 15]
        bits >>= 4


@final
cdef class UuidSource:
    """The clock gives nanoseconds; without one, the system's is asked. ``entropy`` gives random bytes."""

    cdef object _clock, _entropy
    cdef bytes _block
    cdef Py_ssize_t _used
    cdef long long _milliseconds
    cdef uint64_t _high, _low   # 12 and 62 random bits

    def __cinit__(self, *, clock=None, entropy=urandom):
        self._clock = clock
        self._entropy = entropy
        self.forget()

    def forget(self):
        """Start anew: in a forked child, nothing inherited may be used again."""
        self._milliseconds = -1
        self._high = self._low = 0
        self._block = b""
        self._used = 0

    def next(self):
        """As text, of 36 characters."""
        cdef long long now = self._now()
        if now > self._milliseconds:
            self._begin(now)
        else:
            self._advance()
        return self._text()

    cdef long long _now(self) except? -1:
        cdef timespec moment
        if self._clock is not None:
            return self._clock() // 1_000_000
        clock_gettime(CLOCK_REALTIME, &moment)
        return <long long> moment.tv_sec * 1000 + moment.tv_nsec // 1_000_000

    cdef int _begin(self, long long milliseconds) except -1:
        self._milliseconds = milliseconds
        self._high = self._random(2) >> 4
        self._low = self._random(8) >> 2
        return 0

    cdef int _advance(self) except -1:
        self._low += 1 + self._random(4)
        self._high += self._low >> 62
        self._low &= ((<uint64_t> 1) << 62) - 1
        if self._high >> 12:    # the random bits are used up: borrow the next millisecond
            self._begin(self._milliseconds + 1)
        return 0

    cdef uint64_t _random(self, int size) except? 0:
        cdef uint64_t number = 0
        cdef int at
        if self._used + size > len(self._block):
            self._block = self._entropy(BLOCK)
            self._used = 0
        for at in range(size):
            number = number << 8 | <unsigned char> (<const char*> self._block)[self._used + at]
        self._used += size
        return number

    cdef str _text(self):
        cdef char text[36]
        text[8] = text[13] = text[18] = text[23] = c"-"
        put_hex(text, <uint64_t> self._milliseconds >> 16, 8)
        put_hex(text + 9, <uint64_t> self._milliseconds & 0xFFFF, 4)
        put_hex(text + 14, 0x7000 | self._high, 4)
        put_hex(text + 19, 0x8000 | self._low >> 48, 4)
        put_hex(text + 24, self._low & 0xFFFFFFFFFFFF, 12)
        return text[:36].decode("ascii")
