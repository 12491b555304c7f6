"""What is known of one mark: its item in full, and the bytes that it was made of."""

import pprint
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.errors import ProviderError
from rxlapce.notebook.items import escaped
from rxlapce.notebook.marks import Lane, Mark, MarkKind
from rxlapce.notebook.messages import Detail
from rxlapce.operators.redact_patterns import SECRETS
from rxlapce.secret import MASK
from rxlapce.tokens import Reasoning, Refusal, Text, ToolCall

#: Of an item's text, and of an error's message.
MAX_TEXT_CHARS: Final = 4_000
MAX_ERROR_CHARS: Final = 400
#: Of the bytes that are dumped.
MAX_RAW_BYTES: Final = 1_024
MAX_CHAIN: Final = 32
_LINE_BYTES: Final = 16
#: Where an event stands in the bytes of its read is found by the beginning of its data.
_NEEDLE_CHARS: Final = 48
_SECRETS: Final = re.compile("|".join(SECRETS.values()))
#: Left as they are: the text is shown in lines.
_LINES: Final = {"\n": "\n", "\t": "\t"}


def detail_of(mark: Mark, lane: Lane, find: Callable[[int], Mark | None]) -> Detail:
    """All of `mark`; `find` gives the marks that it came from, as far as they are kept."""
    chain = _chain(mark, find)
    text, cut = _text(mark.item)
    size = f", {mark.size:,} {'bytes' if mark.kind is MarkKind.BYTES else 'characters'}" if mark.size else ""
    return Detail(
        seq=mark.seq,
        title=f"{lane.name}: {mark.kind} {mark.seq} at {mark.t:.3f} s{size}",
        text=text,
        raw=_raw([mark, *chain]),
        cut=cut,
        chain=[cause.seq for cause in chain],
    )


def told(error: Exception) -> str:
    """The kind and message of an error on a line, without a secret.

    What a provider's error says was scrubbed of the keys in use; any other may hold one in a shape that we know.
    """
    text = str(error) if isinstance(error, ProviderError) else f"{type(error).__name__}: {_said(error)}"
    text = _SECRETS.sub(MASK, text[: 4 * MAX_ERROR_CHARS])
    line = escaped(" ".join(text.split()), {})
    return line if len(line) <= MAX_ERROR_CHARS else line[: MAX_ERROR_CHARS - 1] + "…"


def hex_dump(data: bytes, at: int = 0) -> str:
    """`data` in lines of 16 bytes: the offset (of the first byte: `at`), the bytes in hex, and as ASCII."""
    lines: list[str] = []
    for start in range(0, len(data), _LINE_BYTES):
        part = data[start : start + _LINE_BYTES]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{at + start:08x}  {part[:8].hex(' '):<23}  {part[8:].hex(' '):<23}  {shown}")
    return "\n".join(lines)


def _said(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error's own code: that it has failed is all there is to tell
        return "(its message cannot be read)"


def _chain(mark: Mark, find: Callable[[int], Mark | None]) -> list[Mark]:
    chain: list[Mark] = []
    while mark.cause is not None and len(chain) < MAX_CHAIN:
        cause = find(mark.cause)
        if cause is None:
            break
        chain.append(cause)
        mark = cause
    return chain


def _text(item: Any) -> tuple[str, bool]:  # what any Observable emits
    whole = _written(item)
    shown = escaped(whole[: MAX_TEXT_CHARS + 1], _LINES)
    return shown[:MAX_TEXT_CHARS], len(shown) > MAX_TEXT_CHARS


def _written(item: Any) -> str:
    """`item` as text, of which not all has to be shown."""
    match item:
        case str():
            return item
        case bytes() | bytearray():
            return item[: 4 * MAX_TEXT_CHARS].decode("utf-8", "replace")
        case memoryview():
            return _written(item.tobytes())
        case Event():
            return item.data if item.event == "message" else f"{item.event}\n{item.data}"
        case Text() | Refusal():
            return item.text
        case Reasoning() if item.signature is None:
            return item.text
        case ToolCall() if item.name is None and item.id is None:
            return item.arguments_delta
        case msgspec.Struct():
            return msgspec.json.format(msgspec.json.encode(item), indent=2).decode()
        case _:
            return _printed(item)


def _printed(item: Any) -> str:
    try:
        return pprint.pformat(item, width=100, compact=True)
    except Exception:  # noqa: BLE001 - the object's own code
        return f"<{type(item).__name__}>"


def _raw(marks: list[Mark]) -> str | None:
    """The bytes of the nearest mark that is of bytes, about where the nearest event stands in them."""
    source = next((mark.item for mark in marks if isinstance(mark.item, bytes)), None)
    if source is None:
        return None
    event = next((mark.item for mark in marks if isinstance(mark.item, Event)), None)
    found = -1 if event is None else source.find(event.data.partition("\n")[0][:_NEEDLE_CHARS].encode())
    start = max(0, found - 2 * _LINE_BYTES) // _LINE_BYTES * _LINE_BYTES
    part = source[start : start + MAX_RAW_BYTES]
    whole = hex_dump(part, start)
    return whole if len(part) == len(source) else f"{whole}\n({len(part):,} of {len(source):,} bytes)"
