"""The head of one request: its headers as a mapping, and whether it is HTTP/1.0 or 1.1 as we read it.

llhttp has taken the bytes apart before; nothing is parsed here but single values. What it lets through and we do not
(each of these is read differently by somebody in front of us or behind us, so nothing of it is guessed at):
- a version other than 1.0 and 1.1, a missing Host in 1.1, a second Host;
- any Transfer-Encoding that is not exactly `chunked`, once, in 1.1; both framings; a length that is not 1 to 18 digits;
- a target that is neither a path nor `http://authority/path`, whose authority then stands for the Host;
- more than `LINE` bytes in the target or one header, `HEADERS` bytes in all, `COUNT` headers.
Whoever sends one of these gets `Refused`, whose words never quote the client.

Names are lower-case; of a name that comes more than once the values are joined by ", ". A client sends the same names
with every request, so their lower-case forms are kept (`_names_seen`, bounded: it starts anew when it is full, with the
names that matter to framing). Values stay bytes until somebody asks for them: of the official SDK's 17 headers an
exchange reads 3, and decoding all of them would cost as much as keeping them. Lookups compare name by name, which for
heads of this size is cheaper than filling a dict.
"""

from collections.abc import Mapping

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8, PyUnicode_GET_LENGTH
from cython cimport final, freelist

cdef enum Limits:
    LINE = 16 << 10
    HEADERS = 64 << 10
    COUNT = 128
    KEPT = 1024
    KEPT_LENGTH = 64

cdef enum Role:
    ORDINARY
    HOST
    LENGTH
    CODING
    CONNECTION
    UPGRADE
    EXPECT
    ENCODING

cdef enum Token:
    CLOSE = 1
    KEEP_ALIVE = 2


class Refused(Exception):
    """This is not taken for a request; the text may be shown."""


@final
cdef class _Name:
    cdef str text
    cdef Role role


cdef _Name named(bytes text, Role role):
    cdef _Name name = _Name.__new__(_Name)
    name.text = _interned(text.decode("ascii").lower())
    name.role = role
    return name


from sys import intern as _interned

cdef dict ROLES = {
    b"host": HOST, b"content-length": LENGTH, b"transfer-encoding": CODING, b"connection": CONNECTION,
    b"upgrade": UPGRADE, b"expect": EXPECT, b"content-encoding": ENCODING,
}
cdef dict _names_seen = {}
cdef dict _methods_seen = {}


cdef _Name learn(bytes name):
    """Not seen before, or too long to be kept."""
    cdef _Name known = named(name, ROLES.get(name.lower(), ORDINARY))
    if PyBytes_GET_SIZE(name) <= KEPT_LENGTH:
        if len(_names_seen) >= KEPT:
            _names_seen.clear()
        _names_seen[name] = known
    return known


@final
@freelist(64)
cdef class RequestHead:
    def __cinit__(self):
        self._names = []
        self._values = []
        self._host = -1
        self.content_length = -1

    def add(self, bytes name not None, bytes value not None):
        self.header(name, value)

    def judge(self, bytes method not None, bytes target not None, str version not None):
        self.finish(method, target, 1 if version == "1.1" else 0 if version == "1.0" else -1)

    cdef int header(self, bytes name, bytes value) except -1:
        """One more; raises Refused."""
        cdef PyObject* seen = PyDict_GetItem(_names_seen, name)
        cdef _Name known = <_Name> seen if seen != NULL else learn(name)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value)
        if size > LINE:
            raise Refused("a header is too long")
        self._size += size + 4
        if self._size > HEADERS or PyList_GET_SIZE(self._names) >= COUNT:
            raise Refused("the headers are too many or too large")
        self._names.append(known.text)
        self._values.append(value)
        if known.role != ORDINARY:
            self._note(known.role, value)
        return 0

    cdef int _note(self, int role, bytes value) except -1:
        """What a header means for the connection and the body."""
        if role == HOST:
            if self._host >= 0:
                raise Refused("there are two Hosts")
            self._host = PyList_GET_SIZE(self._values) - 1
        elif role == LENGTH:
            if self._lengths:
                raise Refused("there are two lengths")
            self._lengths = 1
            self.content_length = number(value.rstrip(b" \t"))
        elif role == CODING:
            if self._codings or value.rstrip(b" \t").lower() != b"chunked":
                raise Refused("the Transfer-Encoding is not exactly: chunked")
            self._codings = 1
            self.chunked = True
        elif role == CONNECTION:
            self._tokens |= tokens(value)
        elif role == UPGRADE:
            self.upgrades = True
        elif role == EXPECT:
            self.waits = value.rstrip(b" \t").lower() == b"100-continue"
        else:
            self.encoded = True
        return 0

    cdef int finish(self, bytes method, bytes target, int minor) except -1:
        """All headers are here; `minor` is that of HTTP/1.x, -1 for any other version. Raises Refused."""
        if minor < 0:
            raise Refused("the version is neither HTTP/1.0 nor HTTP/1.1")
        if minor == 1 and self._host < 0:
            raise Refused("there is no Host")
        if self.chunked and (minor == 0 or self.content_length >= 0):
            raise Refused("the body is framed in a way that this version of HTTP does not have")
        self.minor = minor
        self.closes = self._tokens & CLOSE or (minor == 0 and not self._tokens & KEEP_ALIVE)
        self.waits = self.waits and minor == 1 and (self.chunked or self.content_length > 0)
        self.method = method_named(method)
        if PyBytes_GET_SIZE(target) > LINE:
            raise Refused("the target is too long")
        self.target = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target), "surrogateescape")
        self.path = self.target if PyBytes_AS_STRING(target)[0] == c"/" else self._of_absolute_form(target)
        if b"?" in target or b"#" in target:
            self.path = self.path.partition("#")[0].partition("?")[0]
        return 0

    cdef str _of_absolute_form(self, bytes target):
        """The path behind `http://authority`, which replaces the Host."""
        scheme, found, rest = target.partition(b"://")
        if not found or scheme.lower() not in (b"http", b"https"):
            raise Refused("the target is no path")
        authority = rest.partition(b"#")[0].partition(b"?")[0].partition(b"/")[0]
        if not authority or b"@" in authority:
            raise Refused("the target is no path")
        if self._host < 0:
            self._names.append("host")
            self._values.append(authority)
            self._host = PyList_GET_SIZE(self._values) - 1
        else:
            self._values[self._host] = authority
        path = rest[len(authority):]
        return (path if path.startswith(b"/") else b"/" + path).decode("utf-8", "surrogateescape")

    cdef str find(self, str name):
        """The value of a header, or None."""
        cdef Py_ssize_t i
        cdef str found = None, known
        cdef Py_ssize_t length = PyUnicode_GET_LENGTH(name)
        for i in range(PyList_GET_SIZE(self._names)):
            known = <str> PyList_GET_ITEM(self._names, i)
            if known is name or (PyUnicode_GET_LENGTH(known) == length and known == name):
                value = text_of(<bytes> PyList_GET_ITEM(self._values, i))
                found = value if found is None else f"{found}, {value}"
        return found

    def raw(self):
        """Every header as it came: pairs of a lower-case name and the bytes of its value."""
        return list(zip(self._names, self._values))

    def get(self, str name not None, default=None, /):
        cdef str found = self.find(name)
        return default if found is None else found

    def __getitem__(self, str name not None):
        cdef str found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name):
        return name in self._names

    def __iter__(self):
        return iter(dict.fromkeys(self._names))

    def __len__(self):
        return len(dict.fromkeys(self._names))

    def keys(self):
        return dict.fromkeys(self._names).keys()

    def values(self):
        return self._decoded().values()

    def items(self):
        return self._decoded().items()

    def __eq__(self, other):
        return isinstance(other, Mapping) and self._decoded() == dict(other)

    cdef dict _decoded(self):
        return {name: self.find(name) for name in self._names}


Mapping.register(RequestHead)


cdef str text_of(bytes value):
    """As aiohttp decodes them. llhttp has taken the spaces before a value away, not those behind it."""
    cdef const char* start = PyBytes_AS_STRING(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    while size and (start[size - 1] == c" " or start[size - 1] == c"\t"):
        size -= 1
    return PyUnicode_DecodeUTF8(start, size, "surrogateescape")


cdef long long number(bytes value) except -1:
    """1 to 18 digits and nothing else: as nobody can read them differently."""
    cdef long long found = 0
    cdef char digit
    if not 0 < PyBytes_GET_SIZE(value) <= 18:
        raise Refused("the Content-Length is not one number")
    for digit in value:
        if not c"0" <= digit <= c"9":
            raise Refused("the Content-Length is not one number")
        found = found * 10 + (digit - c"0")
    return found


cdef int tokens(bytes value) except -1:
    """Those of a Connection header that say whether it is kept."""
    if value == b"keep-alive":
        return KEEP_ALIVE
    cdef int found = 0
    for token in value.lower().split(b","):
        token = token.strip(b" \t")
        found |= CLOSE if token == b"close" else KEEP_ALIVE if token == b"keep-alive" else 0
    return found


cdef str method_named(bytes method):
    cdef PyObject* seen = PyDict_GetItem(_methods_seen, method)
    if seen != NULL:
        return <str> seen
    if method == b"CONNECT":
        raise Refused("CONNECT is not served")
    _methods_seen[method] = _interned(method.decode("ascii"))  # llhttp knows 46, it lets no other through
    return <str> _methods_seen[method]
