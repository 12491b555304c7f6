"""The JSON array codec against a whole-body reading, at every cut; its errors, bounds and work."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.codec.json_array import MAX_ELEMENT_BYTES, JsonArrayDecoder
from rxlapce.errors import BadJsonArray, EventTooLarge, UnfinishedBody
from rxlapce.testing.thoroughness import examples

#: events, the error's class and text if there was one
Outcome = tuple[list[Event], str | None]


def read(pieces: Iterable[bytes], max_element_bytes: int = MAX_ELEMENT_BYTES) -> Outcome:
    decoder = JsonArrayDecoder(max_element_bytes)
    events: list[Event] = []
    for piece in pieces:
        events += decoder.feed(piece)
        if decoder.error is not None:
            return events, type(decoder.error).__name__
    events += decoder.close()
    return events, None if decoder.error is None else type(decoder.error).__name__


def cut(data: bytes, points: Iterable[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(points), len(data)])]


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def texts(outcome: Outcome) -> list[str]:
    assert outcome[1] is None
    return [event.data for event in outcome[0]]


WHOLE: list[tuple[str, bytes, list[str]]] = [
    ("empty", b" [ ] \n", []),
    ("objects", b'[{"a":1}\n,\r\n {"b":[2,{"c":3}]}]', ['{"a":1}', '{"b":[2,{"c":3}]}']),
    ("brackets-in-strings", b'[{"a":"]},{[\\"}"},["]"]]', ['{"a":"]},{[\\"}"}', '["]"]']),
    ("escapes", b'[{"\\\\":"\\\\\\""},{"a":"\\u007d\\\\"}]', ['{"\\\\":"\\\\\\""}', '{"a":"\\u007d\\\\"}']),
    ("utf-8", '[{"ü":"日本🎉"}]'.encode(), ['{"ü":"日本🎉"}']),
    ("not-utf-8", b'[{"a":"\xff\xc3"}]', ['{"a":"\ufffd\ufffd"}']),
    ("byte-order-mark", b'\xef\xbb\xbf[{"a":1}]', ['{"a":1}']),
    ("scalars", b'[1 ,-2.5e3,"a\\"]",true,null,[]]', ["1", "-2.5e3", '"a\\"]"', "true", "null", "[]"]),
    ("one-object", b'{ "error": {"code": 429} }\n', ['{ "error": {"code": 429} }']),
    ("pretty", b'[{\n  "a": [\n    1\n  ]\n},\n{\n}]', ['{\n  "a": [\n    1\n  ]\n}', "{\n}"]),
]


@pytest.mark.parametrize(("data", "want"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_body_reads_the_same_at_every_cut(data: bytes, want: list[str]) -> None:
    assert texts(read([data])) == want
    assert texts(read(one_by_one(data))) == want
    for at in range(len(data) + 1):
        for second in range(at, len(data) + 1):
            assert texts(read(cut(data, (at, second)))) == want, f"cut at {at}, {second}"


@pytest.mark.parametrize(
    ("data", "before", "error", "words"),
    [
        (b"", 0, UnfinishedBody, "before it began"),
        (b"  \n", 0, UnfinishedBody, "before it began"),
        (b"\xef\xbb", 0, UnfinishedBody, "before it began"),
        (b"[", 0, UnfinishedBody, "0 bytes of an element"),
        (b'[{"a":1},', 1, UnfinishedBody, "0 bytes of an element"),
        (b'[{"a":1},{"b":', 1, UnfinishedBody, "5 bytes of an element"),
        (b'[{"a":"\\', 0, UnfinishedBody, "7 bytes of an element"),
        (b"[12", 0, UnfinishedBody, "2 bytes of an element"),
        (b'{"error":', 0, UnfinishedBody, "9 bytes of an element"),
        (b'data: {"a":1}', 0, BadJsonArray, "expected a JSON array, got b'data"),
        (b"\xff[]", 0, BadJsonArray, "expected a JSON array"),
        (b"<html>", 0, BadJsonArray, "expected a JSON array"),
        (b"12", 0, BadJsonArray, "expected a JSON array"),
        (b"[,1]", 0, BadJsonArray, "an element or the end"),
        (b"[}]", 0, BadJsonArray, "an element or the end"),
        (b'[{"a":1},]', 1, BadJsonArray, "an element of the JSON array after its comma"),
        (b'[{"a":1},,{}]', 1, BadJsonArray, "after its comma"),
        (b'[{"a":1}{"b":2}]', 1, BadJsonArray, "a comma or the end"),
        (b'[{"a":1}}', 1, BadJsonArray, "a comma or the end"),
        (b'[{"a":1}] [', 1, BadJsonArray, "nothing after the JSON array, got b'['"),
        (b'{"a":1}{"b":2}', 1, BadJsonArray, "nothing after"),
        (b'[{"a":[1}]]', 0, BadJsonArray, "closed by '}', which did not open it"),
    ],
)
def test_what_is_no_array_is_refused_after_what_came_before(
    data: bytes, before: int, error: type[Exception], words: str
) -> None:
    decoder = JsonArrayDecoder()
    events = decoder.feed(data)
    if decoder.error is None:
        assert decoder.close() == []
    assert len(events) == before
    assert type(decoder.error) is error
    assert words in str(decoder.error)
    for at in range(len(data) + 1):
        assert read((data[:at], data[at:])) == (events, error.__name__), f"cut at {at}"
    with pytest.raises(error):
        decoder.feed(b"")
    with pytest.raises(error):
        decoder.close()


def test_element_comes_with_the_read_that_has_its_last_bracket() -> None:
    decoder = JsonArrayDecoder()
    assert decoder.feed(b'[{"a":{"b":1}') == []
    assert decoder.feed(b"}") == [Event('{"a":{"b":1}}')]
    assert decoder.feed(b',"x') == []
    assert decoder.feed(b'"') == [Event('"x"')]
    assert decoder.feed(b",7") == []
    assert decoder.feed(b"]") == [Event("7")]
    assert decoder.close() == []
    assert decoder.error is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\{}[],a日', max_size=4), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=examples(200), deadline=None)
@given(
    values=st.lists(JSON, max_size=4),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_any_array_comes_out_element_by_element(
    values: list[Any], indent: int | None, ascii_only: bool, cuts: list[int]
) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    got = texts(read(cut(data, [min(at, len(data)) for at in cuts])))
    assert [json.loads(text) for text in got] == json.loads(data.decode("utf-8", "replace"))


SIGNS = st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b",", b" ", b"1", b"a", b":"]), max_size=30)


@settings(max_examples=examples(250), deadline=None)
@given(data=st.binary(max_size=20) | SIGNS.map(b"".join) | SIGNS.map(lambda parts: b"[" + b"".join(parts)))
@example(b"[]]")
def test_any_bytes_read_the_same_byte_by_byte(data: bytes) -> None:
    outcome = read([data], 12)
    assert read(one_by_one(data), 12) == outcome
    assert outcome[1] in (None, "UnfinishedBody", "BadJsonArray", "EventTooLarge")
    try:
        value = json.loads(data)
    except (ValueError, UnicodeError):
        return
    if isinstance(value, list | dict):
        assert outcome[1] in (None, "EventTooLarge")


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("element", [b'{"a":"bcdefghi"}', b'"bcdefghijklmno"', b"1234567890123456"])
def test_element_at_the_bound_is_read_and_one_past_it_is_not(element: bytes) -> None:
    body = b"[" + element + b"," + element + b"]"
    assert len(element) == 16
    assert texts(read([body], 16)) == [element.decode()] * 2
    for pieces in ([body], list(one_by_one(body))):
        assert read(pieces, 15) == ([], "EventTooLarge")
    decoder = JsonArrayDecoder(16)
    assert decoder.feed(b'[{},{"aaaaaaaaaaaaaaaaaaaaaaa') == [Event("{}")]
    assert isinstance(decoder.error, EventTooLarge)
    assert "max_element_bytes = 16: 25 bytes" in str(decoder.error)


def test_white_space_between_elements_is_not_held_and_not_counted() -> None:
    assert texts(read([b"[", *([b" \n" * 50] * 100), b"1", *([b"\t" * 99] * 100), b"]"], 4)) == ["1"]


def test_of_a_bound_and_a_wrong_bracket_the_first_in_the_bytes_is_the_error() -> None:
    body = b'[{"a"]'
    for pieces in ([body], list(one_by_one(body))):
        assert read(pieces, 3) == ([], "EventTooLarge")
        assert read(pieces, 4) == ([], "BadJsonArray")


def test_bound_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_element_bytes must be at least 1, not 0"):
        JsonArrayDecoder(0)


# -- work -------------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.parametrize("opening", [b'{"a":"', b'{"a":"\\"', b"["])
@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.heavy), 7, 4096])
def test_time_is_linear_in_an_element_that_comes_in_pieces(opening: bytes, size: int) -> None:
    filling = b"[" if opening == b"[" else b"y\\\\"

    def reading(count: int) -> Callable[[], object]:
        data = b"[" + opening + filling * count
        return lambda: read(cut(data, range(size, len(data), size)))

    assert seconds(reading(60_000)) < 12 * seconds(reading(15_000)) + 0.01  # linear: 4, quadratic: 16 and more
