from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.notebook.items import facts, label_of
from rxlapce.notebook.marks import LABEL_CHARS, MarkKind
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError

    def __sizeof__(self) -> int:
        raise RuntimeError


class Said(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("item", "kind", "label", "size"),
    [
        (b"data: x\n\n", MarkKind.BYTES, "data: x⏎⏎", 9),
        (bytearray(b"\xff"), MarkKind.BYTES, "\ufffd", 1),
        (memoryview(b"ab"), MarkKind.BYTES, "ab", 2),
        (Event('{"a": 1}'), MarkKind.EVENT, '{"a": 1}', 8),
        (Event("{}", event="ping"), MarkKind.EVENT, "ping {}", 2),
        (Text(" the"), MarkKind.TEXT, " the", 4),
        (Text("  "), MarkKind.TEXT, "␣␣", 2),
        (Reasoning("hm"), MarkKind.REASONING, "hm", 2),
        (Reasoning("", signature="c2ln"), MarkKind.REASONING, "(signature)", 0),
        (Refusal("no"), MarkKind.REFUSAL, "no", 2),
        (ToolCall(0, "id", "look"), MarkKind.TOOL_CALL, "look(", 0),
        (ToolCall(0, arguments_delta='{"q"'), MarkKind.TOOL_CALL, '{"q"', 4),
        (UsageReport(Usage(input=12, output=0)), MarkKind.USAGE, "12 in, 0 out", 0),
        (UsageReport(Usage()), MarkKind.USAGE, "usage", 0),
        (Finish(FinishKind.STOP), MarkKind.FINISH, "stop", 0),
        (Seam(1, "continue: timeout"), MarkKind.SEAM, "continue: timeout", 0),
        (Opaque("citations_delta", "{}"), MarkKind.OPAQUE, "citations_delta", 2),
        (7, MarkKind.VALUE, "7", 0),
        (2.5, MarkKind.VALUE, "2.5", 0),
        (None, MarkKind.VALUE, "None", 0),
        (True, MarkKind.VALUE, "True", 0),
        (Said("abc"), MarkKind.VALUE, "abc", 3),
        ((1, "a"), MarkKind.VALUE, "(1, 'a')", 0),
        (list(range(1_000_000)), MarkKind.VALUE, "[0, 1, 2, 3, 4, 5, ...]", 0),
        (Broken(), MarkKind.VALUE, "<Broken>", 0),
    ],
)
def test_what_an_item_is(item: object, kind: MarkKind, label: str, size: int) -> None:
    found = facts(item)
    assert (found.kind, found.label, found.size) == (kind, label, size)
    assert found.weight > 0


def test_a_number_that_is_too_long_to_write_is_told_by_its_length() -> None:
    assert facts(1 << 20_000).label == "a number of 20001 bits"


@given(st.text(max_size=60))
def test_a_label_is_short_and_printable(text: str) -> None:
    label = label_of(text)
    assert len(label) <= LABEL_CHARS
    assert all(char.isprintable() or char in "\u200c\u200d" for char in label)
    assert bool(label) is bool(text)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\ud800", "\\ud800"),
        ("a\tb\r\n", "a⇥b␍⏎"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("x" * 41, "x" * 39 + "…"),
        ("x" * 40, "x" * 40),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, label: str) -> None:
    assert label_of(text) == label


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=20))
def test_any_value_has_facts(item: Sequence[Any]) -> None:
    assert facts(item).weight >= 0
