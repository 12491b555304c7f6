"""What one passing item is: its kind, a label that is safe to show, its size, and what keeping it costs."""

import reprlib
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from rxlapce.codec.event import Event
from rxlapce.notebook.marks import LABEL_CHARS, MarkKind
from rxlapce.tokens import Finish, Opaque, Reasoning, Refusal, Seam, Text, ToolCall, UsageReport

#: Joins letters and emoji; without them 👨‍👩‍👧 falls apart. Alone, they show nothing and move nothing.
_JOINERS: Final = frozenset("\u200c\u200d")
_WORDS: Final = {"\n": "⏎", "\t": "⇥", "\r": "␍"}
#: Never the whole of an object that holds many: `repr` of a list of a million takes a second.
_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 2 * LABEL_CHARS


class Facts(NamedTuple):
    """Of one item. `size` is in bytes, in characters for text; `weight` is about what it holds of memory, in bytes."""

    kind: MarkKind
    label: str
    size: int
    weight: int


def facts(item: object) -> Facts:
    """What is to be known of `item`, in about a microsecond for what streams of answers are made of.

    Never raises: an object whose `repr` fails is shown by its type.
    """
    return _READERS.get(type(item), _of_value)(item)


def label_of(text: str) -> str:
    """The beginning of `text` on one line, `LABEL_CHARS` at most, with nothing in it that moves what is around it."""
    head = text[: LABEL_CHARS + 1]
    if not head.isprintable():
        head = escaped(head, _WORDS)
    if len(head) > LABEL_CHARS:
        return head[: LABEL_CHARS - 1] + "…"
    return head if head.strip() else "␣" * len(head)


def escaped(text: str, words: dict[str, str]) -> str:
    r"""`text` with all that is not printable written as an escape (`\x1b`, `\u202e`), or as `words` has it.

    That takes control characters, those that turn the direction of writing, lone surrogates, unassigned ones.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _JOINERS else words.get(char) or ascii(char)[1:-1] for char in text
    )


def _of_bytes(item: bytes | bytearray) -> Facts:
    return Facts(MarkKind.BYTES, label_of(item[:80].decode("utf-8", "replace")), len(item), len(item))


def _of_memory(item: memoryview) -> Facts:
    return _of_bytes(bytes(item[:80]))._replace(size=item.nbytes, weight=item.nbytes)


def _of_event(item: Event) -> Facts:
    head = item.data[: LABEL_CHARS + 1]
    label = label_of(head if item.event == "message" else f"{item.event} {head}")
    return Facts(MarkKind.EVENT, label, len(item.data), sys.getsizeof(item.data))


def _of_text(item: Text) -> Facts:
    text = item.text
    return Facts(MarkKind.TEXT, label_of(text), len(text), sys.getsizeof(text))


def _of_reasoning(item: Reasoning) -> Facts:
    text = item.text
    weight = sys.getsizeof(text) + len(item.signature or "")
    return Facts(MarkKind.REASONING, label_of(text) or "(signature)", len(text), weight)


def _of_refusal(item: Refusal) -> Facts:
    return Facts(MarkKind.REFUSAL, label_of(item.text), len(item.text), sys.getsizeof(item.text))


def _of_tool_call(item: ToolCall) -> Facts:
    piece = item.arguments_delta
    label = label_of(piece if item.name is None else f"{item.name}({piece}")
    return Facts(MarkKind.TOOL_CALL, label, len(piece), sys.getsizeof(piece))


def _of_usage(item: UsageReport) -> Facts:
    usage = item.usage
    counts = (("in", usage.input), ("out", usage.output))
    label = ", ".join(f"{count} {word}" for word, count in counts if count is not None) or "usage"
    return Facts(MarkKind.USAGE, label, 0, 100)


def _of_finish(item: Finish) -> Facts:
    return Facts(MarkKind.FINISH, label_of(item.kind.value), 0, 100)


def _of_seam(item: Seam) -> Facts:
    return Facts(MarkKind.SEAM, label_of(item.reason), 0, sys.getsizeof(item.reason))


def _of_opaque(item: Opaque) -> Facts:
    return Facts(MarkKind.OPAQUE, label_of(item.kind), len(item.raw), sys.getsizeof(item.raw))


def _of_str(item: str) -> Facts:
    return Facts(MarkKind.VALUE, label_of(item), len(item), sys.getsizeof(item))


def _of_number(item: float | None) -> Facts:
    return Facts(MarkKind.VALUE, repr(item), 0, 28)


def _of_int(item: int) -> Facts:
    # Past 4,300 digits Python refuses to write one in full.
    label = label_of(str(item)) if item.bit_length() < 1_000 else f"a number of {item.bit_length()} bits"
    return Facts(MarkKind.VALUE, label, 0, sys.getsizeof(item))


def _of_value(item: Any) -> Facts:  # what any Observable emits
    if isinstance(item, str):
        return _of_str(item)
    try:
        label, weight = label_of(_REPR.repr(item)), sys.getsizeof(item)
    except Exception:  # noqa: BLE001 - the object's own code: what it does must not end the stream that is looked at
        label, weight = label_of(f"<{type(item).__name__}>"), 100
    return Facts(MarkKind.VALUE, label, 0, weight)


_READERS: Final[dict[type[Any], Callable[[Any], Facts]]] = {
    bytes: _of_bytes,
    bytearray: _of_bytes,
    memoryview: _of_memory,
    Event: _of_event,
    Text: _of_text,
    Reasoning: _of_reasoning,
    Refusal: _of_refusal,
    ToolCall: _of_tool_call,
    UsageReport: _of_usage,
    Finish: _of_finish,
    Seam: _of_seam,
    Opaque: _of_opaque,
    str: _of_str,
    int: _of_int,
    float: _of_number,
    bool: _of_number,
    type(None): _of_number,
}
