"""Server-sent events as Google's servers end them: what the standard drops at the end of a body is told as well.

Two things stand at the end of recorded bodies of the Gemini API and Vertex AI: a last event without its blank line,
with the finish reason in it; and an error that broke the answer off, as bare JSON over many lines, without `data:`.
There is no terminator that would tell that they are missing: dropped, the first makes a whole answer look cut, and the
second a broken one look whole. So the first is taken if its data is one whole JSON value, and the second always.
"""

from typing import Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.codec.sse import MAX_EVENT_BYTES, SSEDecoder
from rxlapce.errors import EventTooLarge

#: What begins bare JSON: an object or an array at the start of a line, where no field of an event stream has them.
_BRACKETS: Final = (b"{", b"[")
_BARE: Final = (b"\n{", b"\n[", b"\r{", b"\r[")


class GoogleSSEDecoder:
    """`SSEDecoder`, and `close` gives what the bytes end in: an event without its blank line, or bare JSON.

    Bare JSON ends the events: all that follows belongs to it. It is given as an event named `error`. `max_event_bytes`
    (from 1) bounds an event and the bare JSON; `error` is as for `SSEDecoder`. Memory: `max_event_bytes` and what one
    `feed` brings. Time: linear in the bytes.
    """

    __slots__ = ("_at_line_start", "_bare", "_sse", "error", "max_event_bytes")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.max_event_bytes = max_event_bytes
        self._sse = SSEDecoder(max_event_bytes)
        self.error: EventTooLarge | None = None
        """Set once an event is past the bound; nothing more is read then."""
        self._at_line_start = True
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
        if data:
            self._at_line_start = data.endswith((b"\r", b"\n"))
        if start >= 0:
            self._bare = bytearray()
            self._keep(data[start:])
        return events

    def close(self) -> list[Event]:
        """The bytes have ended: what they end in, as the class tells."""
        if self.error is not None:
            raise self.error
        if self._bare is not None:
            return [Event(self._bare.decode("utf-8", "replace").strip(), "error")]
        events = self._sse.feed(b"\n\n")  # what a last event lacks: at most its line end and its blank line
        self.error = self._sse.error
        return [event for event in events if _is_json(event.data)]

    def _find_bare(self, data: bytes) -> int:
        """Where bare JSON begins in `data`; -1 if nowhere."""
        if self._at_line_start and data.startswith(_BRACKETS):
            return 0
        found = [at + 1 for at in map(data.find, _BARE) if at >= 0]
        return min(found, default=-1)

    def _keep(self, data: bytes) -> None:
        if self._bare is not None:
            self._bare += data
            if len(self._bare) > self.max_event_bytes:
                self.error = EventTooLarge(f"bare JSON of more than {self.max_event_bytes} bytes in an event stream")


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
