"""Server-sent events as Google's servers end them: what the standard drops at the end of a body is told as well.

Two things stand at the end of recorded bodies of the Gemini API and Vertex AI: a last event without its blank line,
with the finish reason in it; and an error that broke the answer off, as bare JSON over many lines, without `data:`.
There is no terminator that would tell that they are missing: dropped, the first makes a whole answer look cut, and the
second a broken one look whole. So the first is taken if its data is one whole JSON value, and the second always.
"""

import re
from typing import Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.codec.sse import MAX_EVENT_BYTES, SSEDecoder
from rxlapce.errors import EventTooLarge

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
#: What begins bare JSON: an object or an array at the start of a line, where no field of an event stream has them.
_BRACKETS: Final = (b"{", b"[")
_BARE: Final = (b"\n{", b"\n[", b"\r{", b"\r[")


class GoogleSSEDecoder:
    """`SSEDecoder`, and `close` gives what the bytes end in: an event without its blank line, or bare JSON.

    Bare JSON ends the events: all that follows belongs to it. It is given as an event named `error`. `max_event_bytes`
    (from 1) bounds an event and the bare JSON; `error` is as for `SSEDecoder`. Memory: twice `max_event_bytes` and what
    one `feed` brings. Time: linear in the bytes.
    """

    __slots__ = ("_bare", "_sse", "_tail", "error", "max_event_bytes")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.max_event_bytes = max_event_bytes
        self._sse = SSEDecoder(max_event_bytes)
        self.error: EventTooLarge | None = None
        """Set once an event is past the bound; nothing more is read then."""
        self._tail = bytearray()  # what came since the last blank line, and the two bytes before
        self._bare: bytearray | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order. Raises the `error` that an earlier call has set."""
        if self.error is not None:
            raise self.error
        if self._bare is not None:
            self._keep(data)
            return []
        start = self._find_bare(data)
        events = self._sse.feed(data if start < 0 else data[:start])
        self.error = self._sse.error
        if start < 0:
            self._remember(data)
        else:
            self._bare = bytearray()
            self._keep(data[start:])
        return events

    def close(self) -> list[Event]:
        """The bytes have ended: what they end in, as the class tells."""
        if self.error is not None:
            raise self.error
        self._sse.close()
        if self._bare is not None:
            return [Event(self._bare.decode("utf-8", "replace").strip(), "error")]
        lines = _LINE_END.split(bytes(self._tail))
        if not lines[-1]:
            lines.pop()  # a line end is no blank line
        blank = max((at for at, line in enumerate(lines) if not line), default=-1)
        last = lines[blank + 1 :]
        data = b"\n".join(line[5:].removeprefix(b" ") for line in last if line.startswith(b"data:"))
        try:
            msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return []
        return [Event(data.decode("utf-8", "replace"), id=self._sse.last_event_id)]

    def _find_bare(self, data: bytes) -> int:
        """Where bare JSON begins in `data`; -1 if nowhere."""
        if data.startswith(_BRACKETS) and (not self._tail or self._tail.endswith((b"\r", b"\n"))):
            return 0
        found = [at + 1 for at in map(data.find, _BARE) if at >= 0]
        return min(found, default=-1)

    def _keep(self, data: bytes) -> None:
        if self._bare is not None:
            self._bare += data
            if len(self._bare) > self.max_event_bytes:
                self.error = EventTooLarge(f"bare JSON of more than {self.max_event_bytes} bytes in an event stream")

    def _remember(self, data: bytes) -> None:
        """Keep what has come since the last blank line. What is past the bound is no whole event any more."""
        tail = self._tail
        searched = max(0, len(tail) - 3)
        tail += data
        blank = max(tail.rfind(b"\n\n", searched), tail.rfind(b"\n\r\n", searched))
        if blank >= 0:
            del tail[:blank]
        elif len(tail) > self.max_event_bytes + 2:
            tail.clear()
