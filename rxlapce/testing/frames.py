"""Bodies taken apart into their frames and put together again, so that a mutation gets behind framing and checksums.

Taking apart is lenient: what is of no shape becomes a frame as it stands, or is left out.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from zlib import crc32

from rxlapce.codec.json_array import JsonArrayDecoder

_PRELUDE: Final = struct.Struct(">III")
_STRING: Final = 7


class Frame(NamedTuple):
    """One event as it stands: what goes before its data (SSE: other lines; event stream: headers), and the data."""

    head: bytes
    data: bytes


class Framer(NamedTuple):
    """Takes a body apart, and puts one together; `head` makes the head of an event of that name."""

    split: Callable[[bytes], list[Frame]]
    join: Callable[[Sequence[Frame]], bytes]
    head: Callable[[str], bytes]


# -- server-sent events -----------------------------------------------------------------------------------------------


def _split_sse(body: bytes) -> list[Frame]:
    frames: list[Frame] = []
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = block.split(b"\n")
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        head = b"\n".join(line for line in lines if line and not line.startswith(b"data:"))
        if data or head:
            frames.append(Frame(head, b"\n".join(data)))
    return frames


def _join_sse(frames: Sequence[Frame]) -> bytes:
    out = bytearray()
    for head, data in frames:
        out += head + b"\n" if head else b""
        out += b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"
    return bytes(out)


def _sse_head(name: str) -> bytes:
    return f"event: {name}".encode() if name else b""


# -- JSON arrays and lines --------------------------------------------------------------------------------------------


def _split_array(body: bytes) -> list[Frame]:
    return [Frame(b"", event.data.encode()) for event in JsonArrayDecoder().feed(body)]


def _join_array(frames: Sequence[Frame]) -> bytes:
    return b"[" + b"\n,\r\n".join(frame.data for frame in frames) + b"]\n"


def _split_lines(body: bytes) -> list[Frame]:
    return [Frame(b"", line) for line in body.splitlines() if line]


def _join_lines(frames: Sequence[Frame]) -> bytes:
    return b"".join(frame.data + b"\n" for frame in frames)


def _no_head(name: str) -> bytes:
    del name  # these framings have no names
    return b""


# -- AWS event streams ------------------------------------------------------------------------------------------------


def _split_messages(body: bytes) -> list[Frame]:
    frames: list[Frame] = []
    at = 0
    while at + 16 <= len(body):
        total, headers, _ = _PRELUDE.unpack_from(body, at)
        if total < 16 or at + total > len(body) or headers > total - 16:
            break
        frames.append(Frame(body[at + 12 : at + 12 + headers], body[at + 12 + headers : at + total - 4]))
        at += total
    return frames


def _join_messages(frames: Sequence[Frame]) -> bytes:
    return b"".join(message(head, data) for head, data in frames)


def message(headers: bytes, payload: bytes) -> bytes:
    """One message with right checksums, whatever is in it."""
    start = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = start + struct.pack(">I", crc32(start)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


def _message_head(name: str) -> bytes:
    """Headers of an event; `exception/NAME` and `error/CODE` make those of such a message."""
    kind, _, rest = name.rpartition("/")
    if kind == "exception":
        return _header(":message-type", kind) + _header(":exception-type", rest)
    if kind == "error":
        return _header(":message-type", kind) + _header(":error-code", rest) + _header(":error-message", "why")
    return _header(":event-type", name) + _header(":message-type", "event")


def _header(name: str, value: str) -> bytes:
    said = value.encode()
    return bytes([len(name)]) + name.encode() + struct.pack(">BH", _STRING, len(said)) + said


#: By the names of `rxlapce.providers.apis.FRAMINGS`.
FRAMERS: Final[dict[str, Framer]] = {
    "sse": Framer(_split_sse, _join_sse, _sse_head),
    "google-sse": Framer(_split_sse, _join_sse, _sse_head),
    "json-array": Framer(_split_array, _join_array, _no_head),
    "ndjson": Framer(_split_lines, _join_lines, _no_head),
    "eventstream": Framer(_split_messages, _join_messages, _message_head),
}
