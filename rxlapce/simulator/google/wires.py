"""The framings of Gemini's answers: server-sent events with CR LF (`alt=sse`), else one JSON array sent in pieces."""

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.google.asked import GoogleAsked
from rxlapce.simulator.google.generate import Generation, Style
from rxlapce.simulator.google.json import compact, pretty
from rxlapce.simulator.google.styles import GeminiStyle, VertexStyle
from rxlapce.simulator.reply import Reply
from rxlapce.simulator.wire import Part, Wire, WireEvent


class GoogleEvents:
    """One response in server-sent events. They end with the last chunk: there is no terminator.

    Vertex AI's error is bare JSON in the middle of the events, as recorded; the Gemini API's is an event.
    """

    stream_type: ClassVar[str] = "text/event-stream"
    text_lines: ClassVar[bool] = False  # they end in CR LF as they are
    keepalive: ClassVar[bytes] = b""

    def __init__(self, asked: Asked, chance: random.Random, style: Style) -> None:
        self._style = style
        self._generation = Generation(asked, chance, style, compact)

    def headers(self) -> dict[str, str]:
        """No request id, and no limits."""
        return dict(self._style.headers)

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """An event a chunk."""
        for part, chunk in self._generation.chunks(replies):
            yield part, _event(chunk)

    def malformed(self) -> bytes:
        """A chunk that breaks off inside a string."""
        return _event(b'{"candidates": [{"content": {"parts": [{"text": "')

    def error(self) -> bytes:
        """The error as an event, or as bare JSON."""
        error = self._generation.error()
        return error + b"\n" if self._style.bare_errors else _event(error)

    def huge(self, size_bytes: int) -> bytes:
        """A chunk with so many letters."""
        return _event(self._generation.huge(size_bytes))

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer."""
        return self._generation.whole(replies)


def _event(chunk: bytes) -> bytes:
    return b"data: " + chunk + b"\r\n\r\n"


#: What stands between two elements of the array, as recorded.
_COMMA: Final = b"\n,\r\n"


class GoogleArray:
    """One response as a JSON array of chunks, or, unary, as one chunk."""

    stream_type: ClassVar[str] = "application/json; charset=UTF-8"
    text_lines: ClassVar[bool] = False
    keepalive: ClassVar[bytes] = b""

    def __init__(self, asked: Asked, chance: random.Random, style: Style) -> None:
        self._style = style
        self._generation = Generation(asked, chance, style, pretty)
        self._elements = 0  # that `events` has given

    def headers(self) -> dict[str, str]:
        """No request id, and no limits."""
        return dict(self._style.headers)

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The opening bracket, an event an element with the comma before it, the closing bracket."""
        yield Part.FRAME, b"["
        for part, chunk in self._generation.chunks(replies):
            self._elements += 1
            yield part, _COMMA + chunk if self._elements > 1 else chunk
        yield Part.DONE, b"\n]"

    def _insert(self, element: bytes) -> bytes:
        """The element with its comma. A fault stands before the event that `events` has given last."""
        return _COMMA + element if self._elements > 1 else element + _COMMA

    def malformed(self) -> bytes:
        """An element whose brackets do not match."""
        return self._insert(b'{\n  "candidates": ]\n}\n')

    def error(self) -> bytes:
        """The error as the last element."""
        error = self._generation.error()
        return (_COMMA + error if self._elements > 1 else error) + b"\n]"

    def huge(self, size_bytes: int) -> bytes:
        """An element with so many letters."""
        return self._insert(self._generation.huge(size_bytes))

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer."""
        return self._generation.whole(replies)


def gemini_wire(asked: Asked, chance: random.Random) -> Wire:
    """The Gemini API's answer."""
    return _wire(asked, chance, GeminiStyle())


def vertex_wire(asked: Asked, chance: random.Random) -> Wire:
    """Vertex AI's answer."""
    return _wire(asked, chance, VertexStyle())


def _wire(asked: Asked, chance: random.Random, style: Style) -> Wire:
    if isinstance(asked, GoogleAsked) and asked.sse:
        return GoogleEvents(asked, chance, style)
    return GoogleArray(asked, chance, style)
