"""One JSON array as a stream (RFC 8259), its elements given one by one: Gemini's answer without `alt=sse`."""

import re
from enum import Enum, auto
from typing import Final

from rxlapce.codec.event import Event
from rxlapce.errors import BadJsonArray, CodecError, EventTooLarge, UnfinishedBody

MAX_ELEMENT_BYTES: Final = 10 * 2**20

_BOM: Final = b"\xef\xbb\xbf"
_QUOTE, _BACKSLASH = b'"\\'
_CLOSERS: Final = {b"{"[0]: b"}"[0], b"["[0]: b"]"[0]}

#: Up to the next bracket, over whole strings; stops before a string that has no end yet. Possessive: nothing of what
#: was read is ever read again by going back.
_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
#: Up to a string's closing quote, or to a backslash whose other half has not come.
_TO_QUOTE: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_SCALAR_END: Final = re.compile(rb"[ \t\r\n,\]]")
_SCALAR_STARTS: Final = b"-0123456789tfn"


class _At(Enum):
    """Where in the body we are."""

    START = auto()  # nothing but white space has come
    FIRST = auto()  # after the opening bracket: an element or the end
    ELEMENT = auto()  # after a comma: an element
    NESTED = auto()  # inside an object, an array or a string that is an element
    SCALAR = auto()  # inside a number, true, false or null
    NEXT = auto()  # after an element: a comma or the end
    END = auto()


class JsonArrayDecoder:
    """Turns the bytes of a JSON array into events, each the text of one element, given when its last bracket has come.

    A body that is one object instead of an array (an error, as a rule) gives that object. What stands between the
    elements is checked, and that brackets match; whether an element is JSON otherwise is for the dialect to find.
    UTF-8 is decoded an element at a time, when it is whole; what is none becomes U+FFFD.

    `max_element_bytes` (from 1) bounds one element. `error` is set by an element past it (`EventTooLarge`), by bytes
    that are no array (`BadJsonArray`), and by `close` before the array has ended (`UnfinishedBody`). The call that sets
    it still returns the events before; any later `feed` or `close` raises it.

    Memory: `max_element_bytes`, as much again for the open brackets at worst, and what one `feed` brings. Time: linear
    in the bytes, however they are cut: none is looked at more than twice, and none is parsed.
    """

    __slots__ = (
        "_at",
        "_element",
        "_escaped",
        "_in_string",
        "_open",
        "_single",
        "_start",
        "error",
        "max_element_bytes",
    )

    def __init__(self, max_element_bytes: int = MAX_ELEMENT_BYTES) -> None:
        if max_element_bytes < 1:
            raise ValueError(f"max_element_bytes must be at least 1, not {max_element_bytes}")
        self.max_element_bytes = max_element_bytes
        self.error: CodecError | None = None
        """Set by bytes that are no array, or by their end; nothing more is read then."""
        self._at = _At.START
        self._start: bytes | None = b""  # the first bytes, while they may be a byte order mark
        self._single = False  # the body is one object and no array
        self._element = bytearray()  # the start of an element whose end has not come
        self._open = bytearray()  # the brackets that would close what is open in it
        self._in_string = False
        self._escaped = False  # the last byte was a backslash in a string

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order. Raises the `error` that an earlier call has set."""
        if self.error is not None:
            raise self.error
        if self._start is not None:
            data = self._start + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._start = data
                return []
            self._start = None
            data = data.removeprefix(_BOM)
        out: list[Event] = []
        at, size = 0, len(data)
        try:
            while at < size:
                if self._at is _At.NESTED or self._at is _At.SCALAR:
                    at = self._read_element(data, at, out)
                else:
                    at = self._read_between(data, at)
        except CodecError as error:
            self.error = error.with_traceback(None)  # its frames would keep the bytes alive
            self._element.clear()
        return out

    def close(self) -> list[Event]:
        """The bytes have ended: always empty, and `error` is set if the array has not. Raises an `error` set before."""
        if self.error is not None:
            raise self.error
        if self._at is not _At.END:
            where = "before it began" if self._at is _At.START else f"with {len(self._element):,} bytes of an element"
            self.error = UnfinishedBody(f"the JSON array was cut off {where}")
            self._element.clear()
        return []

    def _read_between(self, data: bytes, at: int) -> int:
        """Take white space and one sign of the array itself, or begin an element; where to go on."""
        found = _SPACE.match(data, at)
        at = found.end() if found else at
        if at == len(data):
            return at
        sign = data[at : at + 1]
        if self._at is _At.START and sign == b"[":
            self._at = _At.FIRST
        elif self._at is _At.START and sign == b"{":
            self._single = True
            self._at = _At.NESTED
            return at
        elif self._at in (_At.FIRST, _At.NEXT) and sign == b"]":
            self._at = _At.END
        elif self._at is _At.NEXT and sign == b",":
            self._at = _At.ELEMENT
        elif self._at in (_At.FIRST, _At.ELEMENT) and sign in b'{["' + _SCALAR_STARTS:
            self._at = _At.SCALAR if sign in _SCALAR_STARTS else _At.NESTED
            return at
        else:
            raise BadJsonArray(f"expected {_EXPECTED[self._at]}, got {data[at : at + 20]!r}")
        return at + 1

    def _read_element(self, data: bytes, start: int, out: list[Event]) -> int:
        """Take what `data` has of the element under way; where to go on."""
        if self._at is _At.SCALAR:
            found = _SCALAR_END.search(data, start)
            end, whole = (found.start(), True) if found else (len(data), False)
        else:
            end, whole = self._to_end(data, start)
        self._check_size(end - start)
        if not whole:
            self._element += data[start:end]
            return end
        text = self._element + data[start:end] if self._element else data[start:end]
        out.append(Event(text.decode("utf-8", "replace")))
        self._element.clear()
        self._at = _At.END if self._single else _At.NEXT
        return end

    def _check_size(self, more: int) -> None:
        """Check that the element under way keeps within its bound with `more` bytes."""
        size = len(self._element) + more
        if size > self.max_element_bytes:
            raise EventTooLarge(
                f"an element of the JSON array is larger than max_element_bytes = {self.max_element_bytes:,}: "
                f"{size:,} bytes of it have come"
            )

    def _to_end(self, data: bytes, start: int) -> tuple[int, bool]:
        """Where the object, array or string under way ends, and True; the end of `data` and False if it does not."""
        at, size = start, len(data)
        while at < size:
            if self._in_string:
                at = self._to_string_end(data, at)
            else:
                found = _TO_BRACKET.match(data, at) if self._open else None
                at = found.end() if found else at
                if at == size:
                    break
                self._take_sign(data[at], at - start)
                at += 1
            if not self._open and not self._in_string:
                return at, True
        return size, False

    def _to_string_end(self, data: bytes, at: int) -> int:
        """Behind the closing quote, or the end of `data`."""
        if self._escaped:
            self._escaped = False
            at += 1
        found = _TO_QUOTE.match(data, at)
        at = found.end() if found else at
        if at < len(data):
            self._escaped = data[at] == _BACKSLASH
            self._in_string = self._escaped
            at += 1
        return at

    def _take_sign(self, sign: int, before: int) -> None:
        """A bracket, or a quote whose string does not end in these bytes or is the element itself.

        `before`: how many of these bytes of the element stand before it.
        """
        if sign == _QUOTE:
            self._in_string = True
        elif sign in _CLOSERS:
            self._open.append(_CLOSERS[sign])
        elif self._open.pop() != sign:
            self._check_size(before)  # first, as for bytes that come one by one
            raise BadJsonArray(f"a bracket of the JSON array is closed by {chr(sign)!r}, which did not open it")


_EXPECTED: Final = {
    _At.START: "a JSON array",
    _At.FIRST: "an element or the end of the JSON array",
    _At.ELEMENT: "an element of the JSON array after its comma",
    _At.NEXT: "a comma or the end of the JSON array",
    _At.END: "nothing after the JSON array",
}
