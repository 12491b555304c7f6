"""JSON lines (NDJSON, `application/x-ndjson`): one value a line, each line ended by LF or CRLF."""

from typing import Final

from rxlapce.codec.event import Event
from rxlapce.errors import CodecError, EventTooLarge

MAX_LINE_BYTES: Final = 10 * 2**20

_BOM: Final = b"\xef\xbb\xbf"


class NDJSONDecoder:
    """Turns lines into events, the text of one line each; cutting the body elsewhere gives the same events.

    Lines of nothing but white space are skipped, a byte order mark at the start is dropped, and the last line counts
    without its line end too: `close` returns it. Whether a line is JSON is for the dialect to find. UTF-8 is decoded a
    line at a time; what is none becomes U+FFFD.

    `max_line_bytes` (from 1) bounds a line without its LF. Past it `error` is set, and `feed` still returns the events
    before; any later `feed` or `close` raises it. Memory: `max_line_bytes` and what one `feed` brings. Time: linear.
    """

    __slots__ = ("_at_start", "_line", "error", "max_line_bytes")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        if max_line_bytes < 1:
            raise ValueError(f"max_line_bytes must be at least 1, not {max_line_bytes}")
        self.max_line_bytes = max_line_bytes
        self.error: CodecError | None = None
        """Set once a line is past the bound; nothing more is read then."""
        self._line = bytearray()  # the start of a line whose end has not come
        self._at_start = True

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order. Raises the `error` that an earlier call has set."""
        if self.error is not None:
            raise self.error
        *lines, rest = data.split(b"\n")
        out: list[Event] = []
        if lines and self._line:
            lines[0] = bytes(self._line + lines[0])
            self._line.clear()
        for line in lines:
            if not self._fits(len(line)):
                return out
            self._read(line, out)
        self._line += rest
        self._fits(len(self._line))
        return out

    def close(self) -> list[Event]:
        """The bytes have ended: the last line, if it had no line end. Raises the `error` if there is one."""
        if self.error is not None:
            raise self.error
        out: list[Event] = []
        self._read(bytes(self._line), out)
        self._line.clear()
        return out

    def _read(self, line: bytes, out: list[Event]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line and not line.isspace():
            out.append(Event(line.removesuffix(b"\r").decode("utf-8", "replace")))

    def _fits(self, size: int) -> bool:
        """Whether a line of `size` bytes so far keeps within the bound; sets `error` if not."""
        if size <= self.max_line_bytes:
            return True
        self._line.clear()
        self.error = EventTooLarge(
            f"a line is larger than max_line_bytes = {self.max_line_bytes:,}: {size:,} bytes of it have come"
        )
        return False
